#include "tests/sim/crew.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/sim/run.h"

namespace hapair::sim {
namespace {

constexpr unsigned kMostJobs = 64;
constexpr int kViolated = 1;

// Memory of all processes of a crew.
struct Board {
  std::atomic<std::uint64_t> failing = UINT64_MAX;
  std::array<std::atomic<std::uint64_t>, kMostJobs> seed{};  // that each runs

  void found(std::uint64_t at) {
    std::uint64_t known = failing.load();
    while (at < known && !failing.compare_exchange_weak(known, at)) continue;
  }
};

class SharedBoard {
 public:
  SharedBoard() : memory_(mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::runtime_error("no memory to share between processes");
    board_ = new (memory_) Board;
  }
  ~SharedBoard() { munmap(memory_, sizeof(Board)); }
  SharedBoard(const SharedBoard&) = delete;
  SharedBoard& operator=(const SharedBoard&) = delete;
  Board* operator->() { return board_; }

 private:
  void* memory_;
  Board* board_ = nullptr;
};

// A process of this program, which ends with its parent.
pid_t begin_process() {
  std::fflush(stdout);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("no further process can be started");
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kViolated);
  return 0;
}

int status_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

bool went_well(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }

void write_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = write(fd, text.data() + done, text.size() - done);
    if (written <= 0) _exit(kViolated);
    done += static_cast<std::size_t>(written);
  }
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = read(fd, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

// Each seed below the lowest that fails is run, so what is found does not depend on the number of processes.
void run_share(const Crew& crew, unsigned job, SharedBoard& board, int out) {
  Tally tally;
  for (std::uint64_t i = job; i < crew.runs && crew.first + i < board->failing.load(); i += crew.jobs) {
    const std::uint64_t seed = crew.first + i;
    board->seed.at(job) = seed;
    if (!run_counted(crew.plan(seed), tally).empty()) board->found(seed);
  }
  write_all(out, tally.text());
}

}  // namespace

CrewResult run_crew(const Crew& given) {
  Crew crew = given;
  crew.jobs = static_cast<unsigned>(std::min<std::uint64_t>({crew.jobs, crew.runs, kMostJobs}));
  SharedBoard board;
  struct Member {
    pid_t process = 0;
    int in = -1;
  };
  std::vector<Member> members;
  for (unsigned job = 0; job < crew.jobs; ++job) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe can be made");
    const pid_t process = begin_process();
    if (process == 0) {
      close(ends[0]);
      run_share(crew, job, board, ends[1]);
      _exit(0);
    }
    close(ends[1]);
    members.push_back({process, ends[0]});
  }
  CrewResult result;
  for (unsigned job = 0; job < crew.jobs; ++job) {
    result.tally.add(Tally::parse(read_all(members[job].in)));
    close(members[job].in);
    if (!went_well(status_of(members[job].process))) board->found(board->seed.at(job).load());
  }
  if (board->failing != UINT64_MAX) result.failing = board->failing.load();
  return result;
}

bool fails(const world::Plan& plan) {
  const pid_t process = begin_process();
  if (process == 0) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDERR_FILENO);
    Tally tally;
    _exit(run_counted(plan, tally).empty() ? 0 : kViolated);
  }
  return !went_well(status_of(process));
}

void tell_apart(const std::function<void()>& tell) {
  const pid_t process = begin_process();
  if (process == 0) {
    tell();
    std::fflush(stdout);
    _exit(0);
  }
  const int status = status_of(process);
  if (WIFSIGNALED(status)) fmt::print("violation: the program ended itself there (signal {})\n", WTERMSIG(status));
}

}  // namespace hapair::sim
