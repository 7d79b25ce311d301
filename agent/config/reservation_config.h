// What the configuration says about SCSI-3 reservations: resources of type "scsi:reservation", and the fence method
// "scsi", which stands on them.
#pragma once

#include <string>
#include <vector>

#include "agent/config/agent_config.h"
#include "ccm/config/document.h"

namespace hapair::agent {

inline constexpr std::string_view kReservationType = "scsi:reservation";

// The keys of a resource of that type, but those that every resource has.
void read_reservation(ccm::ConfigObject& object, const AgentPlaces& places, ResourceConfig& into);

// What only the whole pool shows: nothing in it starts before its disks are this node's.
void check_reservation_order(ccm::ConfigObject& pool, const std::vector<ResourceConfig>& resources);

// What hapair-reserve is told in every call: who this node and its partner are.
std::vector<std::string> reserve_identity(const ccm::PairConfig& pair);

// Gives each fence device of kind scsi its call, for the reservations of all pools.
void complete_scsi_fencing(ccm::ConfigObject& root, AgentConfig& config);

// Every disk of every reservation.
std::vector<std::string> reserved_disks(const AgentConfig& config);

}  // namespace hapair::agent
