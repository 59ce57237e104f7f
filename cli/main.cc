#include "cli/commands.h"
#include "libs/process/start.h"

int main(int argc, char** argv) {
  weir::process::SilenceGrpc();
  return weir::cli::Main({argv + 1, argv + argc});
}
