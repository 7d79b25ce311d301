// A file descriptor with an owner, and the few system calls that every folder needs with their errors as text.
#pragma once

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <utility>

namespace hapair {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// A shared mapping with an owner.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      reset();
      bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { reset(); }

  // Maps `size` bytes of `fd`, shared, from offset 0. The caller has made sure that the file has that many.
  static std::expected<Mapping, std::string> map(const Fd& fd, std::size_t size, bool writable);
  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] bool valid() const { return !bytes_.empty(); }
  void reset();

 private:
  std::span<std::byte> bytes_;
};

// "what: text of errno", taken at the call.
std::string errno_text(const std::string& what);

// The whole file, refused above `max_bytes`.
std::expected<std::string, std::string> read_file(const std::string& path, std::size_t max_bytes);

}  // namespace hapair
