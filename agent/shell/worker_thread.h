// Threads that wait for the disk so that the loop does not have to.
#pragma once

#include <csignal>
#include <functional>
#include <thread>
#include <utility>

namespace hapair::agent {

// A thread that takes no signals: those are the loop's, whenever the thread was started.
inline std::thread start_worker(std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread worker(std::move(work));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return worker;
}

}  // namespace hapair::agent
