// A process that does not end at SIGKILL, as one that waits inside the kernel for a disk does not. Here a tracer, this
// test, holds it at its exit, which looks the same from outside.
#pragma once

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace hapair::test {

class HeldProcess {
 public:
  explicit HeldProcess(int pid) : pid_(pid) {
    EXPECT_EQ(::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACEEXIT), 0) << std::strerror(errno);
  }
  HeldProcess(const HeldProcess&) = delete;
  HeldProcess& operator=(const HeldProcess&) = delete;
  ~HeldProcess() { let_go(); }
  void let_go() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    EXPECT_EQ(::waitpid(pid_, nullptr, __WALL), pid_);
    ::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
    pid_ = 0;
  }

 private:
  int pid_;
};

}  // namespace hapair::test
