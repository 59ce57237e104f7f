#include <cstdlib>

#include "cli/commands.h"

int main(int argc, char** argv) {
  setenv("GRPC_VERBOSITY", "NONE", 0);  // What goes wrong is said once, by us.
  return weir::cli::Main({argv + 1, argv + argc});
}
