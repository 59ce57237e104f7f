#include "cli/account_key.h"

#include <chrono>

#include "cli/commands.h"
#include "libs/base/clock.h"
#include "libs/base/ids.h"
#include "libs/document/document.h"
#include "libs/identity/certificates.h"
#include "libs/identity/jws.h"
#include "libs/identity/token.h"

namespace weir::cli {
namespace {

using document::Node;

constexpr int64_t kLifetime = 120;  // Seconds that an assertion is good for; it is used at once.

Result<std::string> Assertion(const Session& session, const AccountKey& key, const Clock& clock) {
  WEIR_ASSIGN(const std::string anchor, identity::CertificateSha256(session.anchor_pem));
  WEIR_ASSIGN(const std::string alg, identity::AlgOf(key.private_key_pem));
  const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(clock.Wall().time_since_epoch()).count();
  Node header = Node::Map();
  header.Add("alg", Node::String(alg));
  header.Add("kid", Node::String(key.key_id));
  header.Add("typ", Node::String("JWT"));
  Node claims = Node::Map();
  claims.Add("iss", Node::String(key.account));
  claims.Add("sub", Node::String(key.account));
  claims.Add("aud", Node::String("weir-server:" + anchor));
  claims.Add("iat", Node::Number(std::to_string(now)));
  claims.Add("exp", Node::Number(std::to_string(now + kLifetime)));
  claims.Add("jti", Node::String(RandomHex(16)));
  return identity::MakeCompact(key.private_key_pem, document::WriteJson(header), document::WriteJson(claims));
}

}  // namespace

Result<AccountKey> ReadAccountKey(const std::string& path) {
  auto text = identity::ReadSecretFile(path);
  if (!text.ok() && text.error().reason == "SECRET_FILE_OPEN") return std::move(text).error();
  if (!text.ok()) return Usage(text.error().message);
  const auto read = document::ParseOne(*text, {}, document::Syntax::kJson);
  AccountKey key;
  const auto take = [&](const char* name, std::string& into) {
    const Node* node = read.ok() ? read->Find(name) : nullptr;
    if (node != nullptr && node->type == Node::Type::kString) into = node->text;
    return !into.empty();
  };
  if (!take("account", key.account) || !take("keyId", key.key_id) || !take("privateKeyPem", key.private_key_pem)) {
    return Usage(fmt::format("{} is no key of a service account; weir sa keys add makes one", path));
  }
  return key;
}

Status WriteAccountKey(const AccountKey& key, const std::string& path) {
  Node node = Node::Map();
  node.Add("account", Node::String(key.account));
  node.Add("keyId", Node::String(key.key_id));
  node.Add("privateKeyPem", Node::String(key.private_key_pem));
  return identity::WriteSecretFile(path, document::WriteJson(node, true));
}

Result<v2::LoginResponse> SignIn(const Session& session, const AccountKey& key, const Clock& clock) {
  v2::ExchangeAssertionRequest request;
  WEIR_ASSIGN(*request.mutable_assertion(), Assertion(session, key, clock));
  Session nobody = session;
  nobody.token.clear();
  WEIR_ASSIGN(Client client, Client::Connect(nobody));
  v2::LoginResponse response;
  WEIR_TRY(client.Call("Sessions/ExchangeAssertion", request, response));
  return response;
}

}  // namespace weir::cli
