#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/service_account.pb.h"
#include "cli/account_key.h"
#include "cli/commands.h"
#include "cli/edit.h"
#include "libs/base/file.h"
#include "libs/identity/certificates.h"
#include "libs/identity/jws.h"

namespace weir::cli {
namespace {

using google::protobuf::util::TimeUtil;

Result<int> Create(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("sa create wants one NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::ServiceAccount account;
  account.mutable_metadata()->set_name(flags.words[0]);
  account.mutable_metadata()->set_display_name(flags.Get("display-name"));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_TRY(CreateResource(client, session.OrganizationFqn(), account));
  std::cout << fmt::format(
      "{} created; a key to sign in with: weir sa keys add {} --out FILE\n",
      resource::ChildFqn(session.OrganizationFqn(), resource::Kind::kServiceAccount, flags.words[0]), flags.words[0]);
  return kExitOk;
}

// A private key: one that is there already, or a new one.
Result<std::string> KeyToAdd(const Flags& flags) {
  if (flags.Has("private-key")) {
    auto pem = ReadFile(flags.Get("private-key"), 1u << 16);
    if (!pem.ok()) return Usage(pem.error().message);
    return pem;
  }
  return flags.Has("rsa") ? identity::NewRsaKey() : identity::NewKey();
}

Result<int> AddKey(const Flags& flags) {
  if (flags.words.size() != 1 || !flags.Has("out")) return Usage("sa keys add wants one NAME and --out FILE");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  AccountKey made;
  WEIR_ASSIGN(made.account, FqnArgument(session, flags.words[0], resource::Kind::kServiceAccount));
  const std::string path = flags.Get("out");
  if (access(path.c_str(), F_OK) == 0) return Usage(fmt::format("{} is there already", path));
  v2::ServiceAccountKey key;
  if (flags.Has("expires") && !TimeUtil::FromString(flags.Get("expires"), key.mutable_expire_time())) {
    return Usage("--expires wants a time like 2027-01-31T00:00:00Z");
  }
  WEIR_ASSIGN(made.private_key_pem, KeyToAdd(flags));
  WEIR_ASSIGN(const identity::PublicJwk jwk, identity::JwkOf(made.private_key_pem));
  made.key_id = flags.Get("id", identity::Thumbprint(jwk));
  key.set_id(made.key_id);
  v2::Jwk& is = *key.mutable_public_key();
  is.set_kty(jwk.kty);
  is.set_crv(jwk.crv);
  is.set_x(jwk.x);
  is.set_y(jwk.y);
  is.set_n(jwk.n);
  is.set_e(jwk.e);
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_TRY(WriteAccountKey(made, path));  // Before the server knows it: a key that nobody has is of no use.
  const auto added = EditResource<v2::ServiceAccount>(client, made.account, [&](v2::ServiceAccount& account) {
    *account.mutable_spec()->add_keys() = key;
    return Result<bool>(true);
  });
  if (!added.ok()) {
    unlink(path.c_str());
    return added.error();
  }
  std::cout << fmt::format("{} may sign in with key {}: weir login --service-account-key {}\n", made.account,
                           made.key_id, path);
  return kExitOk;
}

Result<int> RemoveKey(const Flags& flags) {
  if (flags.words.size() != 2) return Usage("sa keys remove wants NAME and ID");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(const std::string fqn, FqnArgument(session, flags.words[0], resource::Kind::kServiceAccount));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_TRY(EditResource<v2::ServiceAccount>(client, fqn, [&](v2::ServiceAccount& account) -> Result<bool> {
    auto& keys = *account.mutable_spec()->mutable_keys();
    const auto there =
        std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return key.id() == flags.words[1]; });
    if (there == keys.end()) return NotFound("KEY_MISSING", "{} has no key {}", fqn, flags.words[1]);
    keys.erase(there);
    return true;
  }));
  std::cout << fmt::format("{}: key {} is gone, and what was signed in with it has ended\n", fqn, flags.words[1]);
  return kExitOk;
}

Result<int> ListKeys(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("sa keys list wants one NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(const std::string fqn, FqnArgument(session, flags.words[0], resource::Kind::kServiceAccount));
  WEIR_ASSIGN(const resource::Fqn name, resource::ParseFqn(fqn));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(const ResourceMessage read, GetResource(client, name));
  const auto& account = static_cast<const v2::ServiceAccount&>(*read);
  std::vector<std::vector<std::string>> rows{{"ID", "KIND", "CREATED", "EXPIRES"}};
  for (const v2::ServiceAccountKey& key : account.spec().keys()) {
    std::string created;
    for (const auto& state : account.state().keys()) {
      if (state.id() == key.id()) created = TimeUtil::ToString(state.create_time());
    }
    rows.push_back({key.id(), key.public_key().kty() == "EC" ? "ES256" : "RS256", created,
                    key.has_expire_time() ? TimeUtil::ToString(key.expire_time()) : "never"});
  }
  std::cout << Table(std::move(rows));
  return kExitOk;
}

Result<int> Token(const Flags& flags) {
  if (!flags.words.empty() || !flags.Has("key")) return Usage("sa token wants --key FILE");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(const AccountKey key, ReadAccountKey(flags.Get("key")));
  WEIR_ASSIGN(const v2::LoginResponse login, SignIn(session, key));
  std::cout << login.token() << "\n";  // Alone on standard output, for WEIR_TOKEN=$(...).
  return kExitOk;
}

}  // namespace

Command AccountCreateCommand() {
  return {"sa create",
          "make a service account",
          R"(Usage: weir sa create NAME [--display-name TEXT]

For what runs by itself: CI, GitOps. It has no role and no key yet. All of them: weir get serviceaccounts.

  weir sa create gitops
)",
          {{"display-name"}, {}},
          Create};
}
Command AccountAddKeyCommand() {
  return {"sa keys add",
          "make a key for a service account",
          R"(Usage: weir sa keys add NAME --out FILE [--id ID] [--expires TIME] [--rsa | --private-key PEM-FILE]

Makes a key pair (EC on P-256; --rsa: RSA with 2048 bits), gives the public half to the server and writes the private one
to FILE, readable only by you: it is nowhere else. You need the right set-policy on the account and all that it has.

  weir sa keys add gitops --out gitops.key --expires 2027-01-31T00:00:00Z
)",
          {{"out", "id", "expires", "private-key"}, {"rsa"}},
          AddKey};
}
Command AccountRemoveKeyCommand() {
  return {"sa keys remove",
          "take a key from a service account",
          R"(Usage: weir sa keys remove NAME ID

What was signed in with it ends at once.

  weir sa keys remove gitops old-key
)",
          {},
          RemoveKey};
}
Command AccountListKeysCommand() {
  return {"sa keys list",
          "the keys of a service account",
          R"(Usage: weir sa keys list NAME

  weir sa keys list gitops
)",
          {},
          ListKeys};
}
Command AccountTokenCommand() {
  return {"sa token",
          "a short token for a service account",
          R"(Usage: weir sa token --key FILE

Signs in with a key that `weir sa keys add` made and prints the token, which is good for an hour.

  WEIR_TOKEN=$(weir sa token --key gitops.key) weir apply -f documents/
)",
          {{"key"}, {}},
          Token};
}

}  // namespace weir::cli
