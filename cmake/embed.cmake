# cmake -Dfrom=FILE -Dto=FILE.cc -Dnamespace=NAMESPACE -Dname=FUNCTION -P embed.cmake: a C++ file that holds the bytes of `from`.
file(READ "${from}" bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${to}" "#include <string_view>

namespace ${namespace} {
namespace {
constexpr unsigned char kBytes[] = {
${bytes}};
}  // namespace
std::string_view ${name}();
std::string_view ${name}() { return {reinterpret_cast<const char*>(kBytes), sizeof kBytes}; }
}  // namespace ${namespace}
")
