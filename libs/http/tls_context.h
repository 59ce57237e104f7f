#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "libs/base/result.h"

namespace weir::http {

using SslContext = boost::asio::ssl::context;

// Of a server: TLS 1.2 and newer, HTTP/1.1 by ALPN. INVALID_ARGUMENT BAD_CERTIFICATE.
Result<std::shared_ptr<SslContext>> MakeContext(const std::string& chain_pem, const std::string& key_pem);

}  // namespace weir::http
