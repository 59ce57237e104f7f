#include "mgmt-server/services/watch_positions.h"

#include <openssl/evp.h>

#include <memory>

#include "libs/base/ids.h"
#include "libs/base/sha256.h"

namespace weir::services {
namespace {

constexpr const char* kKeyName = "watch-position-key";
constexpr size_t kKeyBytes = 32, kNonceBytes = 12, kTagBytes = 16, kMarkBytes = 16, kPlainBytes = 8 + kMarkBytes;

std::string MarkOf(std::string_view mark) { return Sha256(mark).substr(0, kMarkBytes); }

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

std::string FromHex(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return "";
    out.push_back(static_cast<char>(high * 16 + low));
  }
  return out;
}

}  // namespace

WatchPosition WatchPosition::Of(const store::View& view) { return {view.revision(), MarkOf(view.position().mark)}; }

Status WatchPositions::Prepare() {
  MutexLock lock(preparing_);
  if (!key_.empty()) return {};
  if (const std::string* key = store_.Read()->FindCaMaterial(kKeyName)) {
    key_ = *key;
    return {};
  }
  WEIR_ASSIGN(key_, store_.Write([](store::Txn& txn) -> Result<std::string> {
    if (const std::string* key = txn.view().FindCaMaterial(kKeyName)) return *key;
    std::string fresh = RandomBytes(kKeyBytes);
    WEIR_TRY(txn.PutCaMaterial(kKeyName, fresh));
    return fresh;
  }));
  return {};
}

std::string WatchPositions::Seal(const WatchPosition& position, std::string_view of) const {
  std::string plain;
  for (int shift = 56; shift >= 0; shift -= 8) plain.push_back(static_cast<char>(position.revision >> shift & 255));
  plain += position.mark;
  plain.resize(kPlainBytes);
  std::string sealed = RandomBytes(kNonceBytes);
  sealed.resize(kNonceBytes + kPlainBytes + kTagBytes);
  const Context context(EVP_CIPHER_CTX_new());
  int size = 0;
  unsigned char* const out = Bytes(sealed) + kNonceBytes;
  EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(std::string_view(key_)), Bytes(sealed));
  EVP_EncryptUpdate(context.get(), nullptr, &size, Bytes(of), static_cast<int>(of.size()));
  EVP_EncryptUpdate(context.get(), out, &size, Bytes(std::string_view(plain)), static_cast<int>(kPlainBytes));
  EVP_EncryptFinal_ex(context.get(), out + kPlainBytes, &size);
  EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, out + kPlainBytes);
  return ToHex(sealed);
}

Result<WatchPosition> WatchPositions::Open(std::string_view text, std::string_view of) const {
  constexpr size_t kSize = kNonceBytes + kPlainBytes + kTagBytes;
  std::string sealed = text.size() == 2 * kSize ? FromHex(text) : "";
  if (sealed.size() == kSize) {
    std::string plain(kPlainBytes, '\0');
    const Context context(EVP_CIPHER_CTX_new());
    int size = 0;
    unsigned char* const in = Bytes(sealed) + kNonceBytes;
    EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(std::string_view(key_)), Bytes(sealed));
    EVP_DecryptUpdate(context.get(), nullptr, &size, Bytes(of), static_cast<int>(of.size()));
    EVP_DecryptUpdate(context.get(), Bytes(plain), &size, in, static_cast<int>(kPlainBytes));
    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, in + kPlainBytes);
    if (EVP_DecryptFinal_ex(context.get(), Bytes(plain) + kPlainBytes, &size) == 1) {
      WatchPosition position;
      for (size_t i = 0; i < 8; ++i) position.revision = position.revision << 8 | static_cast<uint8_t>(plain[i]);
      position.mark = plain.substr(8);
      return position;
    }
  }
  Error error = InvalidArgument("BAD_POSITION", "this is no position of this watch");
  error.violations.push_back(
      {.field = "after",
       .description =
           "must be a position that this watch said before to the same caller, or the number of a revision"});
  return error;
}

WatchPosition WatchPositions::Find(int64_t revision) const {
  const auto mark = store_.MarkOf(revision);
  return {revision, mark.ok() ? MarkOf(*mark) : ""};
}

Status WatchPositions::Check(const WatchPosition& position) const {
  const store::ViewPtr now = store_.Read();
  if (position.revision < now->history_floor()) {
    return OutOfRange("WATCH_EXPIRED",
                      "history keeps nothing of that position any more; begin anew, with `initial` for what is there");
  }
  const Error foreign = OutOfRange(
      "WATCH_OF_ANOTHER_HISTORY",
      "this server's state did not grow out of what was watched; begin anew, with `initial` for what is there");
  if (position.revision > now->revision()) return foreign;
  const auto mark = store_.MarkOf(position.revision);
  if (!mark.ok() && mark.error().reason != "REVISION_UNKNOWN") return mark.error();
  if (!mark.ok() || MarkOf(*mark) != position.mark) return foreign;
  return {};
}

}  // namespace weir::services
