#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "api/weir/v2/documents.pb.h"
#include "api/weir/v2/plan.pb.h"
#include "cli/commands.h"
#include "cli/difference.h"
#include "cli/objects.h"
#include "cli/output.h"
#include "cli/sources.h"
#include "libs/base/file.h"
#include "libs/base/text.h"

namespace weir::cli {
namespace {

std::string Editor() {
  for (const char* name : {"WEIR_EDITOR", "VISUAL", "EDITOR"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "vi";
}

// Which may be a command with arguments, as the shell reads it: "code --wait".
Status Open(const std::string& editor, const std::string& path) {
  std::cout << std::flush;
  const pid_t pid = fork();
  if (pid < 0) return Unavailable("NO_EDITOR", "no process for the editor: {}", std::strerror(errno));
  if (pid == 0) {
    const std::string command = editor + " \"$1\"";
    execl("/bin/sh", "sh", "-c", command.c_str(), "sh", path.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return FailedPrecondition("NO_EDITOR", "the editor \"{}\" ended with {}; another is chosen by EDITOR", editor,
                            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// Below the folder for what is temporary, readable by nobody else.
Result<std::string> NewFile(const std::string& text) {
  const char* folder = std::getenv("TMPDIR");
  std::string path = fmt::format("{}/weir-edit-XXXXXX.yaml", folder == nullptr || *folder == '\0' ? "/tmp" : folder);
  const int fd = mkstemps(path.data(), 5);
  if (fd < 0) return Unavailable("NO_FILE", "{}: {}", path, std::strerror(errno));
  close(fd);
  WEIR_TRY(WriteFileAtomic(path, text, 0600));
  return path;
}

// What was edited is somebody's work: it stays, and the error says where.
Error Kept(Error error, const std::string& path) {
  error.message += fmt::format("\nWhat you wrote is in {0}; when it is mended: weir apply -f {0}", path);
  return error;
}

Status Store(Client& client, const std::string& text) {
  v2::ApplyDocumentsRequest request;
  request.set_documents(text);
  v2::ApplyDocumentsResponse response;
  auto applied = client.CallOnce("Documents/Apply", request, response, 60);
  if (!applied.ok()) {
    Error error = std::move(applied).error();
    if (error.reason == "ETAG_MISMATCH") error.message += StaleDocuments(client, text);
    return error;
  }
  for (const auto& item : response.items()) std::cout << item.fqn() << " edited\n";
  for (const auto& item : response.items()) {
    for (const std::string& warning : item.warnings()) std::cerr << "weir: warning: " << Printable(warning) << "\n";
  }
  return {};
}

Result<int> Edit(const Flags& flags) {
  if (flags.words.empty() || flags.words.size() > 2) return Usage("edit wants KIND NAME or a full name");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(const resource::Fqn fqn, ResolveName(client, session, flags.words, ScopeOf(flags)));
  WEIR_ASSIGN(const ResourceMessage resource, GetResource(client, fqn));
  const std::string before = document::WriteYaml(DocumentOf(*resource));
  WEIR_ASSIGN(const std::string path, NewFile(before));
  if (auto opened = Open(Editor(), path); !opened.ok()) return Kept(std::move(opened).error(), path);
  auto after = ReadFile(path, 1u << 20);
  if (!after.ok()) return Kept(std::move(after).error(), path);
  if (*after == before) {
    std::cout << "nothing was changed\n";
  } else if (auto stored = Store(client, *after); !stored.ok()) {
    return Kept(std::move(stored).error(), path);
  }
  unlink(path.c_str());
  return kExitOk;
}

Result<v2::PlanResponse> PlanToCreate(Client& client, const std::string& documents) {
  v2::PlanRequest request;
  request.set_documents(documents);
  v2::PlanResponse plan;
  WEIR_TRY(client.Call("Plans/Plan", request, plan, 60));
  std::vector<std::string> there;
  for (const v2::PlannedDocument& item : plan.items()) {
    if (item.outcome() != v2::PlannedDocument::CREATED) there.push_back(item.fqn());
  }
  if (there.empty()) return plan;
  return AlreadyExists("ALREADY_EXISTS", "nothing was stored, these are there already: {}; weir apply changes them",
                       Joined(there));
}

// By a plan, so that what was not there a moment ago is not there either when it is stored.
Result<int> Create(const Flags& flags) {
  if (!flags.words.empty()) return Usage(fmt::format("what is \"{}\"? Files are given with -f", flags.words[0]));
  if (!flags.Has("file")) return Usage("create wants -f FILE, -f FOLDER or -f - for standard input");
  WEIR_ASSIGN(const Sources sources, ReadSources(flags.All("file")));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  auto plan = PlanToCreate(client, sources.text);
  if (!plan.ok()) {
    Error error = std::move(plan).error();
    for (FieldViolation& violation : error.violations) {
      violation.field = sources.PlaceOf(violation.line, violation.column) + violation.field;
      violation.line = 0;
    }
    return error;
  }
  const bool dry_run = flags.Has("dry-run");
  if (!dry_run) {
    v2::ApplyDocumentsRequest request;
    request.set_documents(sources.text);
    request.set_plan(plan->plan());
    v2::ApplyDocumentsResponse response;
    WEIR_TRY(client.CallOnce("Documents/Apply", request, response, 60));
  }
  for (const v2::PlannedDocument& item : plan->items()) {
    std::cout << item.fqn() << " created" << (dry_run ? " (dry run)" : "") << "\n";
  }
  return kExitOk;
}

}  // namespace

Command EditCommand() {
  return {"edit",
          "change a resource in your editor",
          R"(Usage: weir edit KIND NAME [--tenant T] [--workspace W] [--group G]
       weir edit FULL-NAME

Opens what is stored, as weir get -o yaml prints it, in the editor that WEIR_EDITOR, VISUAL or EDITOR names (else vi),
and stores what it became when the editor ends. Whoever changed it meanwhile loses nothing: it is refused then, and what
you wrote stays in the file that the message names.

  weir edit tier1gateway shop
  EDITOR='code --wait' weir edit cluster cluster1
)",
          {{"tenant", "workspace", "group"}, {}, {}},
          Edit};
}
Command CreateCommand() {
  return {"create",
          "store documents of what does not exist yet",
          R"(Usage: weir create -f FILE|FOLDER|- [-f ...] [--dry-run]

As weir apply, but refused when one of them is there already: nothing that exists is changed.

  -f, --file PATH   what to create; "-" is standard input
  --dry-run         check everything and store nothing

  weir create -f gateways/
)",
          {{"file"}, {"dry-run"}, {{'f', "file"}}},
          Create};
}

}  // namespace weir::cli
