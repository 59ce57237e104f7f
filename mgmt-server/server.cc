#include "mgmt-server/server.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "api/weir/v2/documents.pb.h"
#include "api/weir/v2/server_state.pb.h"
#include "libs/admin/door.h"
#include "libs/base/fair_pool.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/http/server.h"
#include "libs/obs/log.h"
#include "libs/obs/metrics.h"
#include "libs/process/state_lock.h"
#include "libs/process/version.h"
#include "libs/resource/validate.h"
#include "libs/rpc/gate.h"
#include "libs/rpc/server.h"
#include "libs/rpc/time.h"
#include "libs/xds/grpc/ads_service.h"
#include "mgmt-server/authn/administrator.h"
#include "mgmt-server/authn/authn.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/first_organization.h"
#include "mgmt-server/fleet/fleet.h"
#include "mgmt-server/fleet_answers.h"
#include "mgmt-server/housekeeping.h"
#include "mgmt-server/http/rest.h"
#include "mgmt-server/http/routes.h"
#include "mgmt-server/invariant_guard.h"
#include "mgmt-server/invariant_watch.h"
#include "mgmt-server/push/pusher.h"
#include "mgmt-server/recovery/state_folder.h"
#include "mgmt-server/retention.h"
#include "mgmt-server/self_watch.h"
#include "mgmt-server/server_status.h"
#include "mgmt-server/services/grpc_service.h"
#include "mgmt-server/services/reflection.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::server {
namespace {

using Bootstrap = bootstrap::v1::Server;

constexpr size_t kRestBody = 2u << 20;  // At most what Rest::Screen allows.
constexpr rpc::ServerBounds kApiBounds{.max_message = 4 << 20, .memory = 256 << 20, .streams = 100};
constexpr rpc::ServerBounds kAgentBounds{.max_message = 4 << 20, .memory = 512 << 20};
constexpr rpc::GateBounds kApiGate{.connections = 1024, .per_source = 256, .divisor = 8};
constexpr rpc::GateBounds kAgentGate{.connections = 8192, .per_source = 1024, .divisor = 4};
constexpr size_t kGrpcThreads = 32;
constexpr size_t kAgentThreads = 8;
constexpr size_t kQueue = 1024;
constexpr std::chrono::hours kCertificateCheck(1);

// gRPC only says that binding failed; this finds out before whether the port is the reason.
Status CheckPortFree(const std::string& address, uint32_t port, const char* flag) {
  if (port == 0) return {};
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, address.c_str(), &in.sin_addr) != 1) return {};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool taken = bind(fd, reinterpret_cast<const sockaddr*>(&in), sizeof in) != 0 && errno == EADDRINUSE;
  close(fd);
  if (!taken) return {};
  return Unavailable("PORT_IN_USE",
                     "{}:{} is in use by another program (perhaps another weir-server); choose another "
                     "port with {} (0 = any free one)",
                     address, port, flag);
}

ca::Blobs StoreBlobs(store::Store& store) {
  return {.load = [&store](const std::string& name) -> Result<std::optional<std::string>> {
            const store::ViewPtr view = store.Read();
            const std::string* blob = view->FindCaMaterial(name);
            return blob == nullptr ? std::optional<std::string>() : std::optional(*blob);
          },
          .save = [&store](const std::string& name, const std::string& content) -> Status {
            return store.Write([&](store::Txn& txn) -> Status { return txn.PutCaMaterial(name, content); });
          }};
}

}  // namespace

// In the order of construction; torn down the other way round.
struct Server::State {
  Info info;
  Bootstrap bootstrap;
  const Clock* clock = nullptr;
  process::StateLock state_lock;
  recovery::HistoryKeeper history;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<ca::ServerCa> ca;
  std::unique_ptr<authn::Authn> authn;
  std::unique_ptr<rpc::RotatingServerTls> grpc_tls, agent_tls;
  std::unique_ptr<FairPool> grpc_pool, agent_pool;
  std::unique_ptr<fleet::Fleet> fleet;
  std::unique_ptr<xds::AdsService> ads;
  std::unique_ptr<push::Pusher> pusher;
  std::atomic<bool> stopping{false};
  std::unique_ptr<SelfWatch> self_watch;
  std::unique_ptr<InvariantWatch> invariant_watch;
  std::unique_ptr<FleetAnswers> fleet_answers;
  InvariantGuard invariant_guard;
  std::unique_ptr<services::Backends> backends;
  std::unique_ptr<services::Writes> writes;
  std::unique_ptr<services::MethodTable> methods;
  services::Standing standing;
  std::vector<std::unique_ptr<grpc::Service>> grpc_services;
  std::unique_ptr<services::Reflection> reflection;
  std::unique_ptr<grpc::Server> agent_server;
  std::unique_ptr<grpc::Server> grpc_server;
  std::unique_ptr<rpc::Gate> agent_gate, grpc_gate;
  std::unique_ptr<edge::Rest> rest;
  std::unique_ptr<http::Server> rest_server;
  obs::Metrics metrics;
  std::unique_ptr<admin::Door> door;
  Mutex certificates_mutex;  // One at a time reads what is to be served and hands it out.
  Housekeeping housekeeping;
  bool stopped = false;

  Status OpenState();
  Status OpenStore();
  Status OpenCa();
  rpc::ServerTls GrpcTls() const;
  void MakeServices(Duration wait_grace);
  Status StartAgentSide();
  Status StartGrpc();
  Status StartRest();
  Status StartDoor();
  Status ApplyFirstDocuments();
  Status WritePorts();
  void RenewCertificate();
  Status ServeCertificates();
  Status ReplaceRoot(v2::ReplaceRootRequest::Step step);
  std::string Path(const char* name) const { return bootstrap.state_dir() + "/" + name; }
  std::string Listen(uint32_t port) const { return fmt::format("{}:{}", bootstrap.address(), port); }
};

void FillDefaults(Bootstrap& bootstrap) {
  const auto text = [](std::string* field, std::string value) {
    if (field->empty()) *field = std::move(value);
  };
  text(bootstrap.mutable_state_dir(), "./weir-server-state");
  text(bootstrap.mutable_address(), "127.0.0.1");
  text(bootstrap.mutable_organization(), "default");
  text(bootstrap.mutable_domain(), bootstrap.organization() + ".weir.internal");
  text(bootstrap.mutable_log()->mutable_level(), "info");
  if (!bootstrap.has_rest_port()) bootstrap.set_rest_port(8443);
  if (!bootstrap.has_grpc_port()) bootstrap.set_grpc_port(9443);
  if (!bootstrap.has_agent_port()) bootstrap.set_agent_port(9444);
  FillDefaults(*bootstrap.mutable_retention());
  if (!bootstrap.has_intermediate_lifetime()) bootstrap.mutable_intermediate_lifetime()->set_seconds(30 * 24 * 3600);
}

Status Check(const Bootstrap& given) {
  Bootstrap bootstrap = given;
  FillDefaults(bootstrap);
  Error error = InvalidArgument("BOOTSTRAP_INVALID", "the bootstrap is not valid");
  const auto violate = [&](const char* field, const char* text) {
    error.violations.push_back({.field = field, .description = text});
  };
  if (!resource::IsDnsLabel(bootstrap.organization())) violate("organization", "must be a DNS label");
  if (!resource::IsDnsName(bootstrap.domain())) violate("domain", "must be a DNS name");
  if (bootstrap.rest_port() > 65535) violate("restPort", "must be 0 to 65535");
  if (bootstrap.grpc_port() > 65535) violate("grpcPort", "must be 0 to 65535");
  if (bootstrap.agent_port() > 65535) violate("agentPort", "must be 0 to 65535");
  in6_addr parsed;
  if (inet_pton(AF_INET, bootstrap.address().c_str(), &parsed) != 1) violate("address", "must be an IPv4 address");
  const int64_t lifetime = bootstrap.intermediate_lifetime().seconds();
  if (lifetime < 60 || lifetime > 365LL * 24 * 3600) violate("intermediateLifetime", "must be 1m to 365 days");
  Check(bootstrap.retention(), error.violations);
  if (!bootstrap.log().level().empty() && !obs::ParseLevel(bootstrap.log().level()).ok()) {
    violate("log.level", "must be debug, info, warn or error");
  }
  if (error.violations.empty()) return {};
  return error;
}

Status Server::State::OpenState() {
  WEIR_TRY(MakeFolders(bootstrap.state_dir(), 0700));
  struct stat facts{};
  if (stat(bootstrap.state_dir().c_str(), &facts) == 0 && (facts.st_mode & 077) != 0) {
    return FailedPrecondition("STATE_FOLDER_OPEN", "{} may be read by others; run: chmod 700 {}", bootstrap.state_dir(),
                              bootstrap.state_dir());
  }
  WEIR_ASSIGN(state_lock, process::StateLock::Take(bootstrap.state_dir(), "weir-server",
                                                   "stop it, or choose another folder with --state-dir"));
  WEIR_TRY(CheckPortFree(bootstrap.address(), bootstrap.rest_port(), "--rest-port"));
  WEIR_TRY(CheckPortFree(bootstrap.address(), bootstrap.grpc_port(), "--grpc-port"));
  return CheckPortFree(bootstrap.address(), bootstrap.agent_port(), "--agent-port");
}

Status Server::State::OpenStore() {
  WEIR_ASSIGN(const bool may_begin, recovery::CheckStateFolder(bootstrap.state_dir()));
  store::SqliteOptions options;
  options.path = recovery::StorePath(bootstrap.state_dir());
  options.clock = clock;
  options.committed = [this](const store::Standing& now) { history.Follow(now); };
  options.closing = [this](const store::Standing& now) { return history.End(now); };
  WEIR_ASSIGN(store, store::OpenSqlite(options, authz::TenancyPolicy()));
  if (!may_begin && store->Read()->resource_count() == 0) {
    return FailedPrecondition("STATE_LOST", "{} holds no organization; restore a backup (weir-server restore)",
                              options.path);
  }
  const xds::Position position = store->Read()->position();
  WEIR_TRY(history.Begin(bootstrap.state_dir(), {position.lineages.back(), position.revision(), {}}));
  WEIR_TRY(EnsureOrganization(*store, bootstrap.organization(), bootstrap.domain()));
  services::LogContradictions(*store->Read());
  authn::Options authn_options;
  authn_options.clock = clock;
  authn = std::make_unique<authn::Authn>(*store, authn_options);
  authn::AdministratorOptions administrator_options;
  administrator_options.organization = bootstrap.organization();
  administrator_options.state_dir = bootstrap.state_dir();
  WEIR_ASSIGN(const authn::Administrator administrator,
              authn::EnsureAdministrator(*store, *authn, administrator_options));
  info.first_start = administrator.created;
  if (administrator.created) {
    info.administrator = administrator.user_fqn;
    info.password_path = administrator.password_path;
  }
  return {};
}

// Agents are asked for a certificate beside.
rpc::ServerTls Server::State::GrpcTls() const {
  const auto certificate = ca->server_certificate();
  return {certificate.chain_pem, certificate.key_pem, "", rpc::ClientCertificate::kNone};
}

Status Server::State::OpenCa() {
  ca::ServerCa::Options options;
  options.organization_domain = bootstrap.domain();
  options.names.assign(bootstrap.names().begin(), bootstrap.names().end());
  options.names.push_back(bootstrap.address() == "0.0.0.0" ? "127.0.0.1" : bootstrap.address());
  options.intermediate_lifetime = std::chrono::seconds(bootstrap.intermediate_lifetime().seconds());
  WEIR_ASSIGN(ca, ca::ServerCa::Open(StoreBlobs(*store), options, *clock));
  info.anchor_pem = ca->anchor_pem();
  info.anchor_path = Path("server-anchor.pem");
  info.mesh_root_pem = ca->mesh_roots_pem();
  WEIR_TRY(WriteFileIfDifferent(info.anchor_path, ca->anchor_pem(), 0644));
  WEIR_TRY(WriteFileIfDifferent(Path("mesh-root.pem"), ca->mesh_roots_pem(), 0644));
  if (ca->made_anchor_for_old_state()) {
    obs::Log(
        obs::Level::kWarn,
        "this state is of a server whose certificate hung on the mesh root; it has an anchor of its own now, which "
        "no agent and no user trusts yet: join each cluster anew (weir cluster token NAME, weir-agent "
        "--join-token-file) "
        "and give users the anchor (WEIR_CA_FILE). Data planes go on meanwhile; the mesh root is the same",
        {{"anchor", info.anchor_path}});
  }
  rpc::ServerTls tls = GrpcTls();
  WEIR_ASSIGN(grpc_tls, rpc::RotatingServerTls::Open(Path("tls-grpc"), tls, *clock));
  tls.client_roots_pem = ca->mesh_roots_pem();
  tls.client_certificate = rpc::ClientCertificate::kOptional;
  WEIR_ASSIGN(agent_tls,
              rpc::RotatingServerTls::Open(Path("tls-agents"), tls, *clock, fleet::LogRefusedClients(*clock)));
  return {};
}

void Server::State::MakeServices(Duration wait_grace) {
  grpc_pool = std::make_unique<FairPool>(kGrpcThreads, kQueue);
  agent_pool = std::make_unique<FairPool>(kAgentThreads, kQueue);
  fleet = std::make_unique<fleet::Fleet>(*store, *ca, *agent_pool, fleet::FleetOptions{.clock = clock});
  ads = fleet->NewIntentService();
  push::PusherOptions push_options;
  push_options.roots_pem = ca->mesh_roots_pem();
  pusher = std::make_unique<push::Pusher>(*store, *ads, push_options);
  fleet->Attach(*pusher, *ads);

  invariant_watch = std::make_unique<InvariantWatch>(*store, InvariantSensesOf(*fleet, *pusher));
  invariant_guard.Prepare(*store->Read());
  self_watch = std::make_unique<SelfWatch>(SensesOf(bootstrap.state_dir(), *store, *pusher, *invariant_watch), *clock);
  fleet_answers = std::make_unique<FleetAnswers>(
      *store, *fleet, *ads, *pusher, [this](v2::ReplaceRootRequest::Step step) { return ReplaceRoot(step); },
      [this] { return StatusOf(*store->Read(), ads->StreamCount(), *self_watch); }, *clock);
  backends = std::make_unique<services::Backends>(*store, *authn, *fleet_answers, invariant_guard, stopping,
                                                  ca->anchor_sha256(), *clock);
  backends->grace = wait_grace;
  backends->packages_dir = bootstrap.packages_dir();
  writes = std::make_unique<services::Writes>(*store);
  methods = services::MakeTable(*backends);
  standing = services::AddAll(*methods, *backends, *writes);
}

Status Server::State::StartAgentSide() {
  WEIR_TRY(fleet->Start());
  WEIR_TRY(pusher->Start());
  // A join has no certificate yet; whoever asks for anything else shows one before a message of his is read.
  rpc::AdmitCalls(*agent_tls->credentials(), [](const rpc::CallHead& head) -> Status {
    if (head.certificate || head.path == "/weir.agent.v1.ClusterJoin/Join") return {};
    return Unauthenticated("CERTIFICATE_MISSING", "agents show the certificate that they got when they joined");
  });
  grpc::ServerBuilder builder;
  rpc::ApplyDefaults(builder, kAgentBounds);
  WEIR_ASSIGN(agent_gate,
              rpc::Gate::Open(Listen(bootstrap.agent_port()), agent_tls->credentials(), builder, kAgentGate, *clock));
  builder.RegisterService(fleet->join_service());
  builder.RegisterService(fleet->reports_service());
  builder.RegisterService(ads->service());
  agent_server = builder.BuildAndStart();
  if (agent_server == nullptr) return Internal("GRPC_SERVER", "gRPC refused the settings of the agents' port");
  agent_gate->Start();
  info.agent_port = static_cast<uint16_t>(agent_gate->port());
  return {};
}

Status Server::State::StartGrpc() {
  rpc::AdmitCalls(*grpc_tls->credentials(), [this](const rpc::CallHead& head) -> Status {
    if (head.path.starts_with("/grpc.health.v1.Health/")) return {};  // Anybody may ask that.
    std::string name(head.path.substr(head.path.empty() ? 0 : 1));
    std::replace(name.begin(), name.end(), '/', '.');
    WEIR_TRY(methods->Admit(name, std::string(head.token)));
    return {};
  });
  grpc::ServerBuilder builder;
  rpc::ApplyDefaults(builder, kApiBounds);
  WEIR_ASSIGN(grpc_gate,
              rpc::Gate::Open(Listen(bootstrap.grpc_port()), grpc_tls->credentials(), builder, kApiGate, *clock));
  grpc_services = services::GrpcServices(edge::PublicServices(), *methods, *grpc_pool);
  for (const auto& service : grpc_services) builder.RegisterService(service.get());
  reflection = std::make_unique<services::Reflection>(edge::PublicServices(), *methods, *grpc_pool);
  for (grpc::Service* service : reflection->services()) builder.RegisterService(service);
  grpc_server = builder.BuildAndStart();
  if (grpc_server == nullptr) return Internal("GRPC_SERVER", "gRPC refused the settings of the API's port");
  grpc_gate->Start();
  info.grpc_port = static_cast<uint16_t>(grpc_gate->port());
  return {};
}

Status Server::State::StartRest() {
  rest = std::make_unique<edge::Rest>(*methods);
  const auto certificate = ca->server_certificate();
  http::ServerOptions options;
  options.address = bootstrap.address();
  options.port = static_cast<uint16_t>(bootstrap.rest_port());
  options.certificate_chain_pem = certificate.chain_pem;
  options.private_key_pem = certificate.key_pem;
  options.body_limit = kRestBody;
  options.screen = [this](std::string_view head, const std::string&) { return rest->Screen(head); };
  options.render_error = [](int status, const Error& error) {
    return edge::Rest::RenderError(status, error, NewUid());
  };
  WEIR_ASSIGN(rest_server, http::Server::Start(
                               options, [this](http::Request&& request) { return rest->Handle(std::move(request)); }));
  info.rest_port = rest_server->port();
  return {};
}

Status Server::State::StartDoor() {
  if (bootstrap.admin().empty()) return {};
  metrics.AddSource([this](std::string& out) {
    RenderState(*store->Read(), ads->StreamCount(), out);
    fleet->RenderMetrics(out);
    self_watch->Render(out);
    invariant_watch->Render(out);
  });
  admin::StandardHandlers handlers;
  handlers.ready = []() -> Status { return {}; };
  handlers.metrics = [this] { return metrics.Render(); };
  handlers.version = std::string(process::kVersion);
  WEIR_ASSIGN(door, admin::Door::Start({.address = bootstrap.admin(), .token_file = Path("admin-token")},
                                       admin::StandardRoutes(std::move(handlers))));
  info.admin = door->address();
  return {};
}

Status Server::State::ApplyFirstDocuments() {
  if (!info.first_start || bootstrap.first_documents().empty()) return {};
  WEIR_ASSIGN(const std::string text, ReadFile(bootstrap.first_documents(), 1u << 20));
  const store::ViewPtr view = store->Read();
  const store::ResourcePtr user = view->Get(info.administrator);
  if (user == nullptr) return Internal("NO_ADMINISTRATOR", "the administrator is missing");
  v2::ApplyDocumentsRequest request;
  request.set_documents(text);
  services::CallContext call;
  call.principal = {user->fqn, user->uid};
  call.request_id = "first-start";
  const auto answer = methods->CallAs(
      *v2::ApplyDocumentsRequest::descriptor()->file()->FindServiceByName("Documents")->FindMethodByName("Apply"), call,
      request);
  if (!answer.ok()) {
    Error error = answer.error();
    error.message = fmt::format("{}: {}", bootstrap.first_documents(), error.message);
    return error;
  }
  return {};
}

Status Server::State::WritePorts() {
  const std::string ports = fmt::format(R"({{"address":"{}","rest":{},"grpc":{},"agent":{}}})", bootstrap.address(),
                                        info.rest_port, info.grpc_port, info.agent_port);
  return WriteFileIfDifferent(Path("ports.json"), ports + "\n");
}

void Server::State::RenewCertificate() {
  const auto renewed = ca->RenewServerCertificateIfDue();
  if (!renewed.ok() || !*renewed) {
    if (!renewed.ok()) obs::Log(obs::Level::kError, "certificate not renewed", {{"error", renewed.error().ToString()}});
    return;
  }
  const Status served = ServeCertificates();
  obs::Log(served.ok() ? obs::Level::kInfo : obs::Level::kError, "server certificate renewed",
           {{"error", served.ok() ? "" : served.error().ToString()}});
}

// The present certificate and roots, on every door.
Status Server::State::ServeCertificates() {
  MutexLock lock(certificates_mutex);
  rpc::ServerTls tls = GrpcTls();
  WEIR_TRY(grpc_tls->Replace(tls));
  tls.client_roots_pem = ca->mesh_roots_pem();
  tls.client_certificate = rpc::ClientCertificate::kOptional;
  WEIR_TRY(agent_tls->Replace(tls));
  WEIR_TRY(WriteFileIfDifferent(Path("mesh-root.pem"), tls.client_roots_pem, 0644));
  return rest_server->SetCertificate(tls.chain_pem, tls.key_pem);
}

// First everybody who is told by this server, then those whom it tells.
Status Server::State::ReplaceRoot(v2::ReplaceRootRequest::Step step) {
  if (step == v2::ReplaceRootRequest::INTRODUCE) {
    WEIR_TRY(ca->IntroduceRoot());
  } else if (step == v2::ReplaceRootRequest::USE) {
    WEIR_TRY(ca->UseNextRoot());
  } else {
    WEIR_TRY(ca->DropOldRoot());
  }
  obs::Log(obs::Level::kWarn, "the mesh root is being replaced", {{"step", v2::ReplaceRootRequest::Step_Name(step)}});
  const Status served = ServeCertificates();
  pusher->SetRoots(ca->mesh_roots_pem());
  return served;
}

Result<std::unique_ptr<Server>> Server::Start(const Bootstrap& bootstrap, const Clock& clock, Duration wait_grace) {
  WEIR_TRY(Check(bootstrap));
  auto state = std::make_unique<State>();
  state->bootstrap = bootstrap;
  FillDefaults(state->bootstrap);
  state->clock = &clock;
  state->info.address = state->bootstrap.address();
  state->info.organization = state->bootstrap.organization();
  State* raw = state.get();
  std::unique_ptr<Server> server(new Server(std::move(state)));  // From here on a failure stops what runs.
  WEIR_TRY(raw->OpenState());
  WEIR_TRY(raw->OpenStore());
  WEIR_TRY(raw->OpenCa());
  grpc::EnableDefaultHealthCheckService(true);
  raw->MakeServices(wait_grace);
  WEIR_TRY(raw->ApplyFirstDocuments());
  WEIR_TRY(raw->StartAgentSide());
  WEIR_TRY(raw->StartGrpc());
  WEIR_TRY(raw->StartRest());
  WEIR_TRY(raw->StartDoor());
  WEIR_TRY(raw->WritePorts());
  WEIR_TRY(raw->history.Sync());  // From here on the folder says of itself that an organization was begun in it.
  raw->housekeeping.Also(clock, kCertificateCheck, [raw] { raw->RenewCertificate(); });
  raw->housekeeping.Start(*raw->backends, raw->metrics, BoundsOf(raw->bootstrap.retention()),
                          [raw](const Status& done) { raw->self_watch->RetentionPassed(done); });
  raw->housekeeping.Also(clock, services::Standing::kStep, [raw] {
    raw->standing.Step();
    raw->pusher->FollowOverlays();
  });
  raw->housekeeping.Also(clock, SelfWatch::kInterval, [raw] { raw->self_watch->Look(); });
  raw->housekeeping.Also(clock, InvariantWatch::kInterval, [raw] { raw->invariant_watch->Look(); });
  return server;
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() { Stop(); }
const Server::Info& Server::info() const { return state_->info; }

void Server::Stop(Duration grace) {
  State& s = *state_;
  if (s.stopped) return;
  s.stopped = true;
  s.stopping = true;
  s.housekeeping.Stop();
  s.door.reset();
  s.standing.Stop();  // Their callers get what is known now, and the doors below have nobody left to serve.
  if (s.rest_server) s.rest_server->Stop(grace);
  const auto deadline = rpc::DeadlineIn(grace);
  if (s.grpc_gate) s.grpc_gate->Stop();
  if (s.agent_gate) s.agent_gate->Stop();
  if (s.reflection) s.reflection->Stop();
  if (s.grpc_server) s.grpc_server->Shutdown(deadline);
  if (s.ads) s.ads->Shutdown();
  if (s.fleet) s.fleet->Stop();
  if (s.agent_server) s.agent_server->Shutdown(deadline);
  if (s.pusher) s.pusher->Stop();
  if (s.grpc_pool) s.grpc_pool->Stop();
  if (s.agent_pool) s.agent_pool->Stop();
  s.agent_server.reset();
  s.grpc_server.reset();
}

}  // namespace weir::server
