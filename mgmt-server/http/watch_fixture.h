#pragma once

#include "api/weir/v2/watch.pb.h"
#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/services/watch_scope.h"

// For tests only.
namespace weir::edge {

using services::Outflow;

inline const std::string kTenants = "/v2/organizations/demo-org/tenants";

inline v2::WatchRequest Everything(bool initial = true) {
  v2::WatchRequest request;
  request.set_initial(initial);
  return request;
}

// What somebody was told, and what he makes of it: name -> uid and etag.
class Reader {
 public:
  using Things = std::map<std::string, std::pair<std::string, std::string>>;

  // `takes`: pieces, and then no more. `known`: from before.
  Reader(const services::MethodTable& methods, const std::string& token, v2::WatchRequest request,
         size_t takes = SIZE_MAX, Things known = {})
      : state_(std::make_shared<State>()) {
    {
      MutexLock lock(state_->mutex);
      state_->left = takes;
      state_->things = std::move(known);
    }
    services::CallContext call;
    call.token = token;
    const auto* method = v2::WatchRequest::descriptor()->file()->service(0)->method(0);
    const auto answer = methods.Call(*method, call, request);
    if (!answer.ok()) refused_ = answer.error();
    outflow_ = call.stream;
    if (outflow_ != nullptr) Ask(outflow_, state_);
  }
  ~Reader() {
    if (outflow_ != nullptr) outflow_->Leave();
  }

  const std::optional<Error>& refused() const { return refused_; }
  // Takes one more piece.
  void Take() {
    {
      MutexLock lock(state_->mutex);
      state_->left = 1;
    }
    Ask(outflow_, state_);
  }

  Things things() const { return Of(&State::things); }
  std::string position() const { return Of(&State::position); }
  std::vector<v2::WatchEvent> events() const { return Of(&State::events); }
  int64_t last() const { return Of(&State::last); }  // Revision of the last event.
  size_t pieces() const { return Of(&State::pieces); }
  std::string wrong() const { return Of(&State::wrong); }
  std::string ended() const { return Of(&State::ended); }
  // Nothing was told behind the last position.
  bool whole() const { return Of(&State::whole); }

 private:
  struct State {
    mutable Mutex mutex;
    Things things WEIR_GUARDED_BY(mutex);
    std::string position WEIR_GUARDED_BY(mutex), wrong WEIR_GUARDED_BY(mutex), ended WEIR_GUARDED_BY(mutex);
    std::vector<v2::WatchEvent> events WEIR_GUARDED_BY(mutex);
    size_t pieces WEIR_GUARDED_BY(mutex) = 0, left WEIR_GUARDED_BY(mutex) = 0;
    bool whole WEIR_GUARDED_BY(mutex) = true;
    int64_t last WEIR_GUARDED_BY(mutex) = 0;
  };
  template <typename Member>
  Member Of(Member State::* member) const WEIR_NO_THREAD_SAFETY_ANALYSIS {  // The member is guarded by this very lock.
    MutexLock lock(state_->mutex);
    return (*state_).*member;
  }

  static void Ask(const std::shared_ptr<Outflow>& outflow, const std::shared_ptr<State>& state) {
    // Not `outflow` itself, which would hold itself.
    outflow->Next([weak = std::weak_ptr(outflow), state](const Outflow::Piece& piece) {
      bool more = false;
      {
        MutexLock lock(state->mutex);
        ++state->pieces;
        for (const auto& item : piece.items) Learn(*state, item);
        if (!piece.position.empty()) state->position = piece.position;
        if (piece.last) state->ended = piece.error ? piece.error->reason : "done";
        more = !piece.last && --state->left > 0;
      }
      if (const auto open = weak.lock(); more && open != nullptr) Ask(open, state);
    });
  }
  static std::string EtagOf(const v2::WatchEvent& event) {
    if (!event.has_resource()) return "";
    const auto message = resource::NewMessage(resource::FindKind(event.kind())->kind);
    EXPECT_TRUE(event.resource().UnpackTo(message.get()));
    return resource::MetadataOf(*message).resource_version();
  }
  static void Learn(State& state, const Outflow::Item& item) WEIR_REQUIRES(state.mutex) {
    // Many are told the same: read once.
    static thread_local std::shared_ptr<const services::Said> last;
    static thread_local v2::WatchEvent read;
    static thread_local std::string etag;
    if (last != item.said) {
      last = item.said;
      EXPECT_TRUE(read.ParseFromString(last->Bytes()));
      etag = EtagOf(read);
    }
    const v2::WatchEvent& event = read;
    state.whole = !item.position.empty();
    if (state.whole) state.position = item.position;
    const bool known = state.things.contains(event.fqn());
    if (event.type() == v2::WatchEvent::DELETED) {
      if (!known) state.wrong += "deleted, and not known: " + event.fqn() + "\n";
      if (event.has_resource()) state.wrong += "deleted with a body: " + event.fqn() + "\n";
      state.things.erase(event.fqn());
    } else if (event.type() != v2::WatchEvent::BOOKMARK) {
      if (known != (event.type() == v2::WatchEvent::MODIFIED)) state.wrong += event.ShortDebugString() + "\n";
      state.things[event.fqn()] = {event.uid(), etag};
    }
    state.last = event.revision();
    state.events.push_back(event);
  }

  std::shared_ptr<Outflow> outflow_;
  std::shared_ptr<State> state_;
  std::optional<Error> refused_;
};

class WatchTest : public RestApi {
 protected:
  authn::Principal PrincipalOf(const std::string& token) { return authn_->Authenticate(token).value(); }

  // The oracle: what a list of everything would show now.
  Reader::Things Listed(const authn::Principal& principal, const std::string& below = "") {
    const store::ViewPtr view = store_->Read();
    Reader::Things things;
    view->ForEach("", "", [&](const store::ResourcePtr& resource) {
      const bool shown = resource->kind != "AccessBindings" &&
                         (below.empty() || resource::IsAtOrBelow(resource->fqn, below)) &&
                         authz::Allowed(*view, principal, authz::Right::kRead, *resource);
      if (shown) things[resource->fqn] = {resource->uid, resource->etag};
      return true;
    });
    return things;
  }

  void Grant(const std::string& where, const std::string& subject, bool give = true) {
    const Answer answer = Post("/v2/" + where + "/accessbindings:" + (give ? "grant" : "revoke"),
                               R"({"role":"reader","subject":)" + subject + "}");
    EXPECT_EQ(answer.status, 200) << answer.text;
  }
  static std::string User(const std::string& name) {
    return R"({"user":"organizations/demo-org/users/)" + name + "\"}";
  }
  void MakeTenant(const std::string& name) {
    EXPECT_EQ(Post(kTenants, R"({"metadata":{"name":")" + name + R"("}})").status, 200);
  }
  std::string Rename(const std::string& tenant, const std::string& text) {
    const Answer was = Get(kTenants + "/" + tenant);
    return Send("PUT", kTenants + "/" + tenant,
                R"({"metadata":{"displayName":")" + text + R"(","resourceVersion":")" +
                    was.Text({"metadata", "resourceVersion"}) + R"("}})",
                admin_)
        .Text({"metadata", "revision"});
  }
};

}  // namespace weir::edge
