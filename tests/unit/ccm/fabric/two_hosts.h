// Two hosts and the switch between them, each a network namespace that a process of this test holds: they are gone with
// it, however it ends.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>

namespace hapair::ccm {

class TwoHosts {
 public:
  enum class Host { alpha, beta };

  // False where this process may not make namespaces.
  static bool possible();
  TwoHosts();
  ~TwoHosts();
  TwoHosts(const TwoHosts&) = delete;
  TwoHosts& operator=(const TwoHosts&) = delete;

  // From here on the calling thread's new sockets are of that host.
  void enter(Host host) const;
  void leave() const;
  [[nodiscard]] static std::string address(Host host, bool v6);

  void cut_partner();  // the switch's port to beta: alpha keeps its link
  void cut_own();      // alpha's own port
  void heal();         // both, and waits until the links are up

 private:
  [[nodiscard]] static pid_t hold_namespace();
  void run(const std::string& script) const;

  std::array<pid_t, 3> holders_{};  // alpha, beta, the switch
  int home_ = -1;
};

}  // namespace hapair::ccm
