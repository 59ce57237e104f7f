#pragma once

#include <string>

namespace weir::process {

// sd_notify(3): lines like "READY=1\nSTATUS=joined\n" for the service manager that started this process; nothing
// without one. It never waits.
void TellServiceManager(const std::string& lines);

}  // namespace weir::process
