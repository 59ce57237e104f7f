#include <google/protobuf/empty.pb.h>

#include <iostream>

#include "api/weir/v2/session.pb.h"
#include "api/weir/v2/user.pb.h"
#include "cli/account_key.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"

namespace weir::cli {
namespace {

Result<int> Keep(Session session, const v2::LoginResponse& login, std::string_view who) {
  session.token = login.token();
  WEIR_ASSIGN(const std::string path, StoreSession(session));
  std::cout << "Logged in to " << session.server << " as " << who << " of " << session.organization << "; token in "
            << path << "\n";
  return kExitOk;
}

Result<int> LoginByKey(const Flags& flags) {
  if (!flags.words.empty()) return Usage("the key says who signs in: no USER beside --service-account-key");
  WEIR_ASSIGN(Session session, LoadSession(flags, true));
  WEIR_ASSIGN(const AccountKey key, ReadAccountKey(flags.Get("service-account-key")));
  WEIR_ASSIGN(const resource::Fqn account, resource::ParseFqn(key.account));
  session.organization = account.organization();
  WEIR_ASSIGN(const v2::LoginResponse login, SignIn(session, key));
  return Keep(std::move(session), login, "service account " + account.name);
}

Result<int> Login(const Flags& flags) {
  if (flags.Has("service-account-key")) return LoginByKey(flags);
  if (flags.words.size() != 1) return Usage("login wants one USER");
  WEIR_ASSIGN(Session session, LoadSession(flags, true));
  session.token.clear();
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::LoginRequest request;
  request.set_organization(session.organization);
  request.set_user(flags.words[0]);
  WEIR_ASSIGN(*request.mutable_password(), ReadPassword("Password of " + flags.words[0], false));
  v2::LoginResponse response;
  if (auto answer = client.Call("Sessions/Login", request, response); !answer.ok()) {
    Error error = std::move(answer).error();
    if (error.reason == "BAD_CREDENTIALS") {
      error.message += fmt::format("; organization \"{}\" was asked (another: --org NAME)", session.organization);
    }
    return error;
  }
  return Keep(std::move(session), response, flags.words[0]);
}

// The server ends the session first: a token that could not be ended is not forgotten here.
Result<int> Logout(const Flags& flags) {
  if (!flags.words.empty()) return Usage("logout takes no argument");
  WEIR_ASSIGN(Session session, LoadSession(flags));
  if (session.token.empty()) {
    std::cout << "nobody is logged in to " << session.server << "\n";
    return kExitOk;
  }
  WEIR_ASSIGN(Client client, Client::Connect(session));
  google::protobuf::Empty nothing;
  const Status ended = client.Call("Sessions/Logout", nothing, nothing);
  // It has ended already: the aim is reached.
  if (!ended.ok() && ended.error().code != Code::kUnauthenticated) return ended.error();
  session.token.clear();
  WEIR_TRY(StoreSession(session));
  std::cout << "logged out of " << session.server << "\n";
  return kExitOk;
}

Result<int> WhoAmI(const Flags& flags) {
  if (!flags.words.empty()) return Usage("whoami takes no argument");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::WhoAmIResponse me;
  WEIR_TRY(client.Call("Sessions/WhoAmI", google::protobuf::Empty(), me));
  std::cout << me.fqn() << "\n";
  return kExitOk;
}

Result<int> UserPassword(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("user password wants one NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::SetPasswordRequest request;
  WEIR_ASSIGN(*request.mutable_fqn(), FqnArgument(session, flags.words[0], resource::Kind::kUser));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  google::protobuf::Empty nothing;
  v2::WhoAmIResponse me;
  WEIR_TRY(client.Call("Sessions/WhoAmI", nothing, me));
  if (me.fqn() == request.fqn()) {
    WEIR_ASSIGN(*request.mutable_old_password(), ReadPassword("Old password of " + flags.words[0], false));
  }
  WEIR_ASSIGN(*request.mutable_password(), ReadPassword("New password of " + flags.words[0], true));
  WEIR_TRY(client.Call("Passwords/SetPassword", request, nothing));
  std::cout << "Password of " << flags.words[0] << " set; the user's sessions are ended\n";
  return kExitOk;
}

}  // namespace

Command LoginCommand() {
  return {"login",
          "sign in; later commands use the token",
          R"(Usage: weir login USER [--server HOST:PORT] [--ca-file FILE] [--org NAME]
       weir login --service-account-key FILE [--server HOST:PORT] [--ca-file FILE]

The password is asked for, or read as one line from standard input when that is no terminal:

  weir login admin --server 127.0.0.1:9443 --ca-file state/server-anchor.pem < state/admin-password

The token is stored readable only by you (contexts.json in ~/.config/weir or $WEIR_HOME) together with the server and its
anchor, so that later commands need no flags. --context NAME keeps it beside others; see weir context list. A service account signs in with the key that
`weir sa keys add` made, for an hour at a time:

  weir login --service-account-key gitops.key --server 127.0.0.1:9443 --ca-file server-anchor.pem

  weir login ann --context staging --server weir.staging.example.com:9443 --ca-file anchor.pem --org acme
)",
          {{"service-account-key"}, {}},
          Login};
}
Command LogoutCommand() {
  return {"logout",
          "end the session at the server and forget its token",
          R"(Usage: weir logout [--context NAME]

  weir logout
)",
          {},
          Logout};
}
Command WhoAmICommand() {
  return {"whoami",
          "as whom the server knows you",
          R"(Usage: weir whoami [--context NAME]

  weir whoami
)",
          {},
          WhoAmI};
}
Command UserPasswordCommand() {
  return {"user password",
          "set a user's password",
          R"(Usage: weir user password NAME

The password (12 to 1024 bytes) is asked for, or read as one line from standard input; for your own the old one is
asked for before it, or read as the line before. Ends every session of the user.

  weir user password ann < password-file
)",
          {},
          UserPassword};
}

}  // namespace weir::cli
