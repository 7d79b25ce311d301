#include "agent/config/container_promise.h"

#include <gmock/gmock.h>

#include "tests/unit/agent/config/agent_config_file.h"

namespace hapair::agent {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ContainerPromise : public AgentConfigFile {
 protected:
  [[nodiscard]] json promised(const json& resources) const {
    json given = least();
    given["ccm"]["watchdog"] = {
        {"device", "/run/hapair-watchdog"}, {"timeout_ms", 10000}, {"container_covers_pools", true}};
    given["pools"][0]["resources"] = resources;
    return given;
  }
};

ResourceConfig ocf(const std::string& agent, const ParameterList& parameters = {}) {
  ResourceConfig resource{};
  resource.name = "r";
  resource.type = "ocf:heartbeat:" + agent;
  resource.agent = agent;
  resource.parameters = parameters;
  return resource;
}

ResourceConfig unit(const std::string& name) {
  ResourceConfig resource{};
  resource.name = "u";
  resource.kind = ResourceKind::systemd;
  resource.unit = name;
  return resource;
}

std::vector<std::string> in_the_kernel(const ResourceConfig& resource) {
  PoolConfig pool{};
  pool.resources = {resource};
  return resources_in_the_kernel(pool);
}

TEST(ResourcesInTheKernel, AreTold) {
  for (const char* agent : {"nfsserver", "exportfs", "LVM-activate", "LVM", "mdraid", "drbd", "iSCSITarget",
                            "iSCSILogicalUnit", "nvmet-subsystem", "rbd", "crypt"}) {
    EXPECT_THAT(in_the_kernel(ocf(agent)), ElementsAre("r (ocf:heartbeat:" + std::string(agent) + ")"));
  }
  for (const char* implementation : {"lio", "lio-t", "iet", "scst", ""}) {
    EXPECT_THAT(in_the_kernel(ocf("iSCSITarget", {{"implementation", implementation}})), testing::SizeIs(1));
  }
  for (const char* name : {"nfs-server.service", "target.service", "drbd@r0.target"}) {
    EXPECT_THAT(in_the_kernel(unit(name)), testing::SizeIs(1));
  }
  EXPECT_THAT(in_the_kernel(unit("nginx.service")), IsEmpty());
}

TEST(ResourcesInTheKernel, AreNotThoseThatAreProcessesOrMounts) {
  EXPECT_THAT(in_the_kernel(ocf("iSCSITarget", {{"implementation", "tgt"}})), IsEmpty());
  EXPECT_THAT(in_the_kernel(ocf("Filesystem")), IsEmpty());
  EXPECT_THAT(in_the_kernel(ocf("IPaddr2")), IsEmpty());
}

TEST_F(ContainerPromise, IsTakenForPoolsThatEndWithTheProcesses) {
  EXPECT_THAT(problems(promised({{{"name", "fs"}, {"type", "ocf:heartbeat:Filesystem"}}})), IsEmpty());
}

TEST_F(ContainerPromise, IsRefusedForAPoolThatLivesInTheKernel) {
  const json given = promised({{{"name", "nfs"}, {"type", "systemd:nfs-server.service"}}});
  EXPECT_THAT(
      only_problem(given),
      HasSubstr("these of pool-a live in the host's kernel: nfs (systemd:nfs-server.service); leave the promise "
                "out, or give pool-a a resource of type \"scsi:reservation\""));
  json silent = given;
  silent["ccm"]["watchdog"].erase("container_covers_pools");
  EXPECT_THAT(problems(silent), IsEmpty()) << "no lease rests on it then";
}

TEST_F(ContainerPromise, IsTakenWhereThePoolsDisksAreReserved) {
  places_.reserve_program = folder_ / "hapair-reserve";
  const json given = promised({{{"name", "disks"}, {"type", "scsi:reservation"}, {"devices", {"/dev/disk/by-id/one"}}},
                               {{"name", "nfs"}, {"type", "systemd:nfs-server.service"}, {"after", {"disks"}}}});
  EXPECT_THAT(problems(given), IsEmpty());
}

}  // namespace
}  // namespace hapair::agent
