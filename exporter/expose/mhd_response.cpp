// SPDX-License-Identifier: Apache-2.0
// Bodies and headers for libmicrohttpd, without copying the former.
#include "expose/mhd_response.h"

#include <string.h>
#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

namespace lagwatch {
namespace {

// Of no effect on chunked bodies, whose pieces are as large as the rest of a connection's memory.
constexpr size_t kBlockBytes = 64 * 1024;

// A source being sent. Owned by libmicrohttpd's response.
struct Stream {
  std::unique_ptr<BodySource> source;
  std::function<void(const char*)> on_failure;
  std::string chunk;
  size_t sent = 0;  // of the chunk
  bool ended = false;

  size_t read(char* buffer, size_t max) {
    size_t filled = 0;
    while (filled < max && !ended) {
      if (sent == chunk.size()) {
        source->next(chunk);
        sent = 0;
        ended = chunk.empty();
      }
      const size_t step = std::min(max - filled, chunk.size() - sent);
      memcpy(buffer + filled, chunk.data() + sent, step);
      sent += step;
      filled += step;
    }
    return filled;
  }
};

// No exception may enter libmicrohttpd, which is C.
ssize_t read_stream(void* cls, uint64_t, char* buffer, size_t max) noexcept {
  Stream& stream = *static_cast<Stream*>(cls);
  try {
    const size_t filled = stream.read(buffer, max);
    return filled > 0 ? static_cast<ssize_t>(filled) : MHD_CONTENT_READER_END_OF_STREAM;
  } catch (const std::exception& e) {
    stream.on_failure(e.what());
  } catch (...) {
    stream.on_failure("an exception of no known type");
  }
  return MHD_CONTENT_READER_END_WITH_ERROR;
}

MHD_Response* make_body(HttpResponse& response, std::function<void(const char*)> on_failure) {
  if (response.source) {
    auto stream = std::make_unique<Stream>();
    stream->source = std::move(response.source);
    stream->on_failure = std::move(on_failure);
    MHD_Response* made =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, kBlockBytes, &read_stream, stream.get(),
                                          [](void* cls) { delete static_cast<Stream*>(cls); });
    if (made != nullptr) (void)stream.release();
    return made;
  }
  auto body = std::make_unique<std::string>(std::move(response.body));
  MHD_Response* made = MHD_create_response_from_buffer_with_free_callback_cls(
      body->size(), body->data(), [](void* cls) { delete static_cast<std::string*>(cls); },
      body.get());
  if (made != nullptr) (void)body.release();
  return made;
}

bool names(const HttpResponse& response, std::string_view header) {
  for (const auto& [name, value] : response.headers) {
    if (name == header) return true;
  }
  return false;
}

}  // namespace

MhdResponse make_mhd_response(HttpResponse response, std::function<void(const char*)> on_failure) {
  MhdResponse made(make_body(response, std::move(on_failure)));
  if (!made) return made;
  MHD_add_response_header(made.get(), "Content-Type", response.content_type.c_str());
  MHD_add_response_header(made.get(), "X-Content-Type-Options", "nosniff");
  // All answers are about this moment; a handler that knows better says so.
  if (!names(response, "Cache-Control")) {
    MHD_add_response_header(made.get(), "Cache-Control", "no-store");
  }
  for (const auto& [name, value] : response.headers) {
    // Refuses names and values with line breaks; such a header is better left out.
    MHD_add_response_header(made.get(), name.c_str(), value.c_str());
  }
  return made;
}

}  // namespace lagwatch
