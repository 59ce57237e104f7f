#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "libs/base/ids.h"
#include "libs/identity/certificates.h"
#include "libs/identity/peer.h"
#include "libs/rpc/server.h"
#include "tests/support/full_disk.h"
#include "tests/support/real_time.h"

namespace weir::rpc {
namespace {

namespace fs = std::filesystem;
using identity::Authority;

class RotatingServerTlsTest : public testing::Test {
 protected:
  ~RotatingServerTlsTest() override { fs::remove_all(folder_); }

  static ServerTls Tls(const Authority& issuer, const std::string& id) {
    ServerTls tls;
    tls.client_certificate = ClientCertificate::kNone;
    tls.key_pem = identity::NewKey().value();
    identity::LeafRequest request;
    request.csr_pem = identity::MakeCsr(tls.key_pem).value();
    request.spiffe_id = id;
    tls.chain_pem = identity::SignLeaf(issuer, request).value() + issuer.certificate_pem;
    return tls;
  }
  bool OpensOnAFullDisk(const ServerTls& tls) {
    const test::FullDisk full;
    return RotatingServerTls::Open(folder_, tls, clock_).ok();
  }

  const std::string folder_ = testing::TempDir() + "weir-tls-" + RandomHex(6);
  const Authority anchor_ = identity::NewServerAnchor().value();
  const std::string name_ = identity::ServerPeer(anchor_.certificate_pem)->spiffe_id;
  ManualClock clock_;
};

TEST_F(RotatingServerTlsTest, SaysWhatToDoWithAFolderThatWasCopiedWithoutItsLinks) {
  const std::string copy = folder_ + "/copy";
  const ServerTls tls = Tls(anchor_, name_);
  ASSERT_TRUE(RotatingServerTls::Open(folder_ + "/first", tls, clock_).ok());
  fs::copy(folder_ + "/first", copy, fs::copy_options::recursive);  // Follows links.
  for (const bool full : {false, true}) {
    std::optional<test::FullDisk> disk;
    if (full) disk.emplace();
    const auto refused = RotatingServerTls::Open(copy, tls, clock_);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().reason, "TLS_FOLDER_COPIED");
    EXPECT_NE(refused.error().message.find("Remove " + copy + " "), std::string::npos) << refused.error().message;
  }
  fs::remove_all(copy);  // As it says.
  EXPECT_TRUE(RotatingServerTls::Open(copy, tls, clock_).ok());
  EXPECT_TRUE(RotatingServerTls::Open(folder_ + "/first", tls, clock_).ok());
}

TEST_F(RotatingServerTlsTest, ServesOnAFullDiskWhatStandsThereFromTheSameIssuer) {
  const Authority another = identity::NewServerAnchor().value();
  const ServerTls first = Tls(anchor_, name_);
  EXPECT_FALSE(OpensOnAFullDisk(first)) << "nothing stands there";
  ASSERT_TRUE(RotatingServerTls::Open(folder_, first, clock_).ok());
  EXPECT_TRUE(OpensOnAFullDisk(first));
  EXPECT_TRUE(OpensOnAFullDisk(Tls(anchor_, name_))) << "its key could not be stored, the older one serves";
  EXPECT_FALSE(OpensOnAFullDisk(Tls(anchor_, name_ + "-renamed")));
  EXPECT_FALSE(OpensOnAFullDisk(Tls(another, name_)));
  ServerTls asking = first;
  asking.client_certificate = ClientCertificate::kOptional;
  asking.client_roots_pem = another.certificate_pem;
  EXPECT_FALSE(OpensOnAFullDisk(asking)) << "no roots stand there";
  const auto folders = std::count_if(fs::directory_iterator(folder_), fs::directory_iterator(),
                                     [](const auto& entry) { return entry.is_directory() && !entry.is_symlink(); });
  EXPECT_EQ(folders, 1) << "what was begun and could not be written is gone";
  SetToPresent(clock_);
  clock_.JumpWall(std::chrono::hours(24 * 400));
  EXPECT_FALSE(OpensOnAFullDisk(first)) << "what stands has run out";
}

}  // namespace
}  // namespace weir::rpc
