#pragma once

namespace weir::http {

// What a connection of this server is given when it was accepted: answers leave at once, and what its peer does not
// take waits in the kernel to kMostUnsent bytes and no further.
void PrepareSocket(int fd);

}  // namespace weir::http
