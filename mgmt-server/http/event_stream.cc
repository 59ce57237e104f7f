#include "mgmt-server/http/event_stream.h"

#include "libs/document/document.h"
#include "mgmt-server/http/problem.h"

namespace weir::edge {
namespace {

void Append(std::string_view position, std::string_view type, std::string_view data, std::string& out) {
  if (!position.empty()) out.append("id: ").append(position).append("\n");
  out.append("event: ").append(type).append("\ndata: ").append(data).append("\n\n");
}

class Events : public http::Source {
 public:
  Events(std::shared_ptr<services::Outflow> outflow, std::string request_id)
      : outflow_(std::move(outflow)), request_id_(std::move(request_id)) {}

  void Next(std::function<void(Piece)> take) override {
    outflow_->Next([id = request_id_, take = std::move(take)](const services::Outflow::Piece& piece) {
      Piece text{.bytes = {}, .last = piece.last};
      for (const auto& item : piece.items) Append(item.position, item.said->type(), item.said->Json(), text.bytes);
      if (piece.error) {
        std::string data = document::ToJson(Problem(HttpStatus(piece.error->code), *piece.error, id));
        while (data.ends_with('\n')) data.pop_back();
        Append(piece.position, "ERROR", data, text.bytes);
      }
      take(std::move(text));
    });
  }
  void Leave() override { outflow_->Leave(); }

 private:
  const std::shared_ptr<services::Outflow> outflow_;
  const std::string request_id_;
};

}  // namespace

std::shared_ptr<http::Source> ServerSentEvents(std::shared_ptr<services::Outflow> outflow, std::string request_id) {
  return std::make_shared<Events>(std::move(outflow), std::move(request_id));
}

}  // namespace weir::edge
