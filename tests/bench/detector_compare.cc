// Replays looks that detector_arrivals wrote down through several detectors and tells how good each is, by the measures
// of Chen, Toueg and Aguilera (2002): how long after a partner's death it is suspected, how often and for how long one
// that lives is. Every trace is of a partner that lived all the time, so each suspicion is a mistake.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "heartbeat/detector.h"

namespace hapair::heartbeat {
namespace {

struct Look {
  Instant when;
  std::uint64_t beat = 0;  // 0: nothing was read
};

constexpr Duration kPace = std::chrono::milliseconds(10);
constexpr std::size_t kWindow = 64;  // arrivals that an adaptive one remembers, as Detector does

// What is compared. `suspects` is asked after each look.
class Candidate {
 public:
  virtual ~Candidate() = default;
  virtual void look(Instant now, bool moved, std::uint64_t beat) = 0;
  [[nodiscard]] virtual bool suspects(Instant now) const = 0;
  // How long after the last arrival it would begin to suspect.
  [[nodiscard]] virtual Duration patience() const = 0;
};

// What keepalived does: so many paces without a beat.
class Fixed final : public Candidate {
 public:
  explicit Fixed(Duration limit) : limit_(limit) {}
  void look(Instant now, bool moved, std::uint64_t /*beat*/) override {
    if (moved) last_ = now;
  }
  [[nodiscard]] bool suspects(Instant now) const override { return now - last_ >= limit_; }
  [[nodiscard]] Duration patience() const override { return limit_; }

 private:
  Duration limit_;
  Instant last_;
};

// NFD-E of Chen, Toueg and Aguilera: the next beat's expected arrival, from the arrivals of the last ones less their
// numbers times the pace, plus a constant margin.
class ChenNfdE final : public Candidate {
 public:
  explicit ChenNfdE(Duration margin) : margin_(margin) {}
  void look(Instant now, bool moved, std::uint64_t beat) override {
    if (!moved) return;
    last_ = now;
    shifted_.push_back(static_cast<double>(ns_of(now)) -
                       static_cast<double>(beat) * static_cast<double>(kPace.count()));
    if (shifted_.size() > kWindow) shifted_.pop_front();
    double sum = 0;
    for (const double one : shifted_) sum += one - shifted_.front();
    const double base = shifted_.front() + sum / static_cast<double>(shifted_.size());
    expected_ = base + static_cast<double>(beat + 1) * static_cast<double>(kPace.count());
  }
  [[nodiscard]] bool suspects(Instant now) const override { return now - last_ >= patience(); }
  [[nodiscard]] Duration patience() const override {
    return Duration(static_cast<Duration::rep>(expected_ - static_cast<double>(ns_of(last_)))) + margin_;
  }

 private:
  Duration margin_;
  Instant last_;
  double expected_ = 0;
  std::deque<double> shifted_;
};

// Phi accrual (Hayashibara, Defago, Yared, Katayama: The phi Accrual Failure Detector, SRDS 2004) with its normal
// distribution: phi reaches a threshold so many standard deviations after the mean.
class PhiAccrual final : public Candidate {
 public:
  explicit PhiAccrual(double phi) : deviations_(deviations_of(phi)) {}
  void look(Instant now, bool moved, std::uint64_t /*beat*/) override {
    if (!moved) return;
    if (last_ != Instant()) {
      arrivals_.push_back(static_cast<double>((now - last_).count()));
      if (arrivals_.size() > kWindow) arrivals_.pop_front();
    }
    last_ = now;
    double sum = 0;
    double squares = 0;
    for (const double one : arrivals_) {
      sum += one;
      squares += one * one;
    }
    const auto n = static_cast<double>(std::max<std::size_t>(arrivals_.size(), 1));
    const double mean = sum / n;
    constexpr double kLeast = 0.1e6;  // a network that never varies would be suspected at its mean
    const double deviation = std::max(std::sqrt(std::max(squares / n - mean * mean, 0.0)), kLeast);
    patience_ = arrivals_.empty() ? std::chrono::seconds(1)
                                  : Duration(static_cast<Duration::rep>(mean + deviations_ * deviation));
  }
  [[nodiscard]] bool suspects(Instant now) const override { return now - last_ >= patience_; }
  [[nodiscard]] Duration patience() const override { return patience_; }

 private:
  // x with P(a standard normal is above x) = 10^-phi.
  static double deviations_of(double phi) {
    double low = 0;
    double high = 40;
    for (int i = 0; i < 100; ++i) {
      const double middle = (low + high) / 2;
      (0.5 * std::erfc(middle / std::sqrt(2.0)) > std::pow(10, -phi) ? low : high) = middle;
    }
    return low;
  }

  double deviations_;
  Duration patience_ = std::chrono::seconds(1);
  Instant last_;
  std::deque<double> arrivals_;
};

// The product's own.
class Own final : public Candidate {
 public:
  Own(Duration floor, Duration ceiling) : detector_({floor, ceiling, kPace}) {}
  void look(Instant now, bool moved, std::uint64_t /*beat*/) override { detector_.look(now, moved); }
  [[nodiscard]] bool suspects(Instant /*now*/) const override { return detector_.silent(); }
  [[nodiscard]] Duration patience() const override { return detector_.limit(); }

 private:
  Detector detector_;
};

struct Quality {
  std::uint64_t mistakes = 0;
  Duration mistaken{};
  double patience_sum_ms = 0;
  double patience_max_ms = 0;
  std::uint64_t arrivals = 0;
};

Quality replay(const std::vector<Look>& looks, Candidate& candidate) {
  Quality quality;
  std::uint64_t beat = 0;
  bool suspected = false;
  Instant since;
  for (const Look& look : looks) {
    const bool moved = look.beat != 0 && look.beat != beat;
    // What was late is first looked at as silence: that is when the mistake is made.
    if (moved && !suspected && quality.arrivals > kWindow && candidate.suspects(look.when)) {
      ++quality.mistakes;
      suspected = true;
      since = look.when;
    }
    candidate.look(look.when, moved, look.beat);
    if (moved) {
      beat = look.beat;
      ++quality.arrivals;
      const double patience = ms_of(candidate.patience());
      quality.patience_sum_ms += patience;
      if (quality.arrivals > kWindow) quality.patience_max_ms = std::max(quality.patience_max_ms, patience);
    }
    const bool suspects = quality.arrivals > kWindow && candidate.suspects(look.when);
    if (suspects && !suspected) {
      ++quality.mistakes;
      since = look.when;
    }
    if (!suspects && suspected) quality.mistaken += look.when - since;
    suspected = suspects;
  }
  return quality;
}

std::vector<Look> read_looks(const std::string& file) {
  std::vector<Look> looks;
  std::ifstream in(file);
  std::int64_t when_ns = 0;
  std::uint64_t beat = 0;
  std::uint32_t late_us = 0;
  while (in >> when_ns >> beat >> late_us) looks.push_back({instant_of_ns(when_ns), beat});
  return looks;
}

struct Named {
  std::string name;
  std::function<std::unique_ptr<Candidate>()> make;
};

std::vector<Named> candidates() {
  using std::chrono::milliseconds;
  std::vector<Named> all;
  for (const int ms : {30, 50, 100}) {
    all.push_back({"fixed " + std::to_string(ms) + " ms", [ms] { return std::make_unique<Fixed>(milliseconds(ms)); }});
  }
  for (const int ms : {10, 20, 50}) {
    all.push_back({"Chen NFD-E, margin " + std::to_string(ms) + " ms",
                   [ms] { return std::make_unique<ChenNfdE>(milliseconds(ms)); }});
  }
  for (const int phi : {3, 8, 12}) {
    all.push_back({"phi accrual, phi " + std::to_string(phi), [phi] { return std::make_unique<PhiAccrual>(phi); }});
  }
  all.push_back({"hapair, floor 30 ms", [] { return std::make_unique<Own>(milliseconds(30), milliseconds(500)); }});
  return all;
}

int compare(const std::string& load, const std::string& file) {
  const std::vector<Look> looks = read_looks(file);
  if (looks.size() < 2 * kWindow) {
    std::fprintf(stderr, "detector_compare: %s has %zu looks\n", file.c_str(), looks.size());
    return 1;
  }
  const double hours = ms_of(looks.back().when - looks.front().when) / 3'600'000;
  std::printf("%s: %zu looks in %.0f s\n", load.c_str(), looks.size(), hours * 3600);
  std::printf("  %-26s %9s %9s %12s %16s %15s\n", "", "mistakes", "an hour", "wrong for", "patience mean",
              "patience max");
  for (const Named& named : candidates()) {
    const auto candidate = named.make();
    const Quality quality = replay(looks, *candidate);
    std::printf("  %-26s %9llu %9.0f %9.1f ms %13.1f ms %12.1f ms\n", named.name.c_str(),
                static_cast<unsigned long long>(quality.mistakes), static_cast<double>(quality.mistakes) / hours,
                ms_of(quality.mistaken), quality.patience_sum_ms / static_cast<double>(quality.arrivals),
                quality.patience_max_ms);
  }
  return 0;
}

}  // namespace
}  // namespace hapair::heartbeat

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: detector_compare NAME FILE\n", stderr);
    return 2;
  }
  return hapair::heartbeat::compare(argv[1], argv[2]);
}
