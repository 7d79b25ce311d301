#include "agent/core/transitions.h"

#include <array>
#include <initializer_list>
#include <vector>

namespace hapair::agent {
namespace {

using S = PoolState;
using E = PoolEvent;
using G = Guard;

constexpr auto kTransitions = std::to_array<Transition>({
    {S::probing, E::all_running, G::runs_above, S::stopping,
     "it runs here, and the partner runs it at a higher epoch: it must stop here"},
    {S::probing, E::some_running, G::runs_above, S::stopping,
     "a part of it runs here, and the partner runs it at a higher epoch: it must stop here"},
    {S::probing, E::none_running, G::runs_above, S::elsewhere, "nothing of it runs here; the partner has it"},
    {S::probing, E::all_running, G::held_here, S::serving,
     "everything runs, as this node's record says: it goes on serving without a stop"},
    {S::probing, E::some_running, G::clusters_held, S::stopping,
     "a part of it runs here, and it may have been on its way to a stop: the cluster says where it is served"},
    {S::probing, E::none_running, G::clusters_held, S::stopping,
     "nothing of it runs here, and the record says that it is this node's: it is released, and the cluster says where "
     "it is served"},
    {S::probing, E::some_running, G::held_here, S::starting,
     "the record says that it is this node's, and only a part of it runs: the rest is started"},
    {S::probing, E::none_running, G::held_here, S::starting,
     "the record says that it is this node's, and nothing of it runs: it is started again"},
    {S::probing, E::all_running, G::always, S::stopping,
     "it runs here although no record says that it is this node's: it is stopped first"},
    {S::probing, E::some_running, G::always, S::stopping,
     "a part of it runs here although no record says that it is this node's: it is stopped first"},
    {S::probing, E::none_running, G::offered_here, S::released, "this node released it and its partner may have it"},
    {S::probing, E::none_running, G::partners_by_record, S::elsewhere, "the record says that it is the partner's"},
    {S::probing, E::none_running, G::always, S::unsettled,
     "nothing of it runs here; the partner knows who may serve it"},

    {S::probing, E::lease_lost, G::always, S::stopping,
     "a part of it runs here, and this node has no lease under which it could go on: it is stopped"},

    {S::probing, E::operator_takeover, G::lease_awaited, S::claiming,
     "an operator does not wait for a lease: this node claims it, for the proof that the partner has stopped"},
    {S::probing, E::operator_force, G::lease_awaited, S::claiming, "an operator wants it here by force"},

    {S::unsettled, E::partner_released, G::may_take, S::acquiring, "the partner offers it"},
    {S::unsettled, E::partner_holds, G::always, S::elsewhere, "the partner has it"},
    {S::unsettled, E::partner_vacant, G::home_or_owner_here, S::asking,
     "the partner does not have it: it is asked before this node starts it"},
    {S::unsettled, E::partner_vacant, G::cluster_decides, S::elsewhere,
     "nobody has it, and the cluster says who is to"},
    {S::unsettled, E::partner_vacant, G::always, S::elsewhere, "its home is the partner, which will start it"},
    {S::unsettled, E::operator_takeover, G::always, S::claiming,
     "an operator decided that this node takes it without having seen its partner"},
    {S::unsettled, E::operator_force, G::always, S::claiming, "an operator decided that this node takes it by force"},

    {S::unsettled, E::partner_wants, G::clusters_to_give, S::releasing,
     "the cluster wants it on the partner, and it is this node's by the record alone"},
    {S::unsettled, E::cluster_order, G::always, S::claiming,
     "the cluster wants it here, and the partner is not heard: this node claims it"},

    {S::asking, E::partner_released, G::may_take, S::acquiring, "the partner offers it"},
    {S::asking, E::partner_answered, G::always, S::acquiring, "the partner answers that it neither has nor claims it"},
    {S::asking, E::partner_holds, G::always, S::elsewhere, "the partner has it"},
    {S::asking, E::partner_down, G::always, S::unsettled, "the partner stopped answering before it could be asked"},
    {S::asking, E::operator_force, G::always, S::claiming, "an operator decided that this node takes it by force"},
    {S::asking, E::cluster_demote, G::always, S::unsettled, "the cluster no longer wants it here"},
    {S::asking, E::poisoned, G::always, S::unsettled,
     "the partner poisons this node: an answer from before that counts no more"},
    {S::asking, E::shutdown, G::always, S::unsettled, "this node shuts down"},

    {S::elsewhere, E::partner_released, G::may_take, S::acquiring, "the partner stopped it and offers it"},
    {S::elsewhere, E::partner_down, G::automatic_may_take, S::claiming,
     "the partner is down by the verdict: this node claims its pool"},
    {S::elsewhere, E::partner_rebooted, G::automatic_may_take, S::claiming,
     "the partner is seen in a new life of its kernel, so the one that had the pool is over: this node claims it and "
     "fences nobody"},
    {S::elsewhere, E::partner_vacant, G::home_or_owner_here, S::asking,
     "the partner does not have it after all: it is asked before this node starts it"},
    {S::elsewhere, E::partner_wants, G::clusters_to_give, S::releasing,
     "the cluster wants it on the partner, and it is this node's by the record alone"},
    {S::elsewhere, E::operator_takeover, G::partner_alive, S::requesting,
     "an operator wants it here: the partner is asked to release it"},
    {S::elsewhere, E::operator_takeover, G::always, S::claiming,
     "an operator wants it here, and the partner does not answer: this node claims it"},
    {S::elsewhere, E::operator_force, G::always, S::claiming, "an operator wants it here by force"},
    {S::elsewhere, E::cluster_order, G::partner_alive, S::requesting,
     "the cluster wants it here, and it is the partner's by the record: it is asked to release it"},
    {S::elsewhere, E::cluster_order, G::always, S::claiming,
     "the cluster wants it here, and the partner is not heard: this node claims it"},

    {S::requesting, E::partner_released, G::always, S::acquiring, "the partner stopped it and released it"},
    {S::requesting, E::partner_down, G::always, S::claiming,
     "the partner went down while it was asked: this node claims the pool"},
    {S::requesting, E::partner_rebooted, G::always, S::claiming,
     "the partner rebooted while it was asked: this node claims the pool and fences nobody"},
    {S::requesting, E::bound_passed, G::always, S::elsewhere,
     "the partner did not release it in time: the request is withdrawn"},
    {S::requesting, E::partner_vetoes, G::always, S::elsewhere,
     "the partner vetoes it (hapair events there says why): the request is withdrawn"},
    {S::requesting, E::operator_force, G::always, S::claiming, "an operator wants it here by force"},
    {S::requesting, E::cluster_demote, G::always, S::elsewhere,
     "the cluster no longer wants it here: the request is withdrawn"},
    {S::requesting, E::poisoned, G::always, S::elsewhere, "the partner poisons this node: the request is withdrawn"},
    {S::requesting, E::shutdown, G::always, S::elsewhere, "this node shuts down"},

    {S::claiming, E::durable, G::always, S::fencing, "the claim is durable: now the proof that the partner stopped"},
    {S::claiming, E::not_durable, G::always, S::elsewhere,
     "the claim could not be made durable: nothing is done without it"},
    {S::claiming, E::reboot_proved, G::always, S::acquiring,
     "the partner is seen in its new life after the claim was durable: it is not fenced"},
    {S::claiming, E::partner_back, G::always, S::elsewhere,
     "the verdict no longer carries the claim: it is withdrawn before a fence was asked for"},

    {S::claiming, E::poisoned, G::always, S::elsewhere, "the partner poisons this node: the claim is withdrawn"},

    {S::fencing, E::poisoned, G::always, S::elsewhere,
     "the partner poisons this node: the claim is withdrawn, and no proof of it counts any more"},
    {S::fencing, E::fence_confirmed, G::by_partner, S::acquiring,
     "the partner obeyed the poison: it has stopped it and holds it no more"},
    {S::fencing, E::fence_confirmed, G::always, S::acquiring, "the fence is confirmed: the partner is down"},
    {S::fencing, E::reboot_proved, G::always, S::acquiring,
     "the partner is seen in a new life of its kernel after the claim was durable: no fence is waited for"},
    {S::fencing, E::cluster_vouches, G::always, S::acquiring,
     "the cluster ordered it, and it does so only when the partner has stopped it or was fenced"},
    {S::fencing, E::lease_expired, G::always, S::acquiring,
     "the partner's lease must be over by now: it has stopped it or was reset"},
    {S::fencing, E::fence_failed, G::always, S::fencing,
     "the fence is not confirmed, so nothing is taken; it is tried again"},
    {S::fencing, E::fence_given_up, G::always, S::elsewhere,
     "no fence was confirmed: the claim is withdrawn, the pool is not taken"},
    {S::fencing, E::partner_back, G::always, S::elsewhere, "the verdict no longer carries the claim: it is withdrawn"},

    {S::acquiring, E::durable, G::always, S::starting, "the new epoch is durable: the resources are started"},
    {S::acquiring, E::poisoned, G::always, S::unsettled, "the partner poisons this node: nothing is started"},
    {S::acquiring, E::not_durable, G::always, S::elsewhere,
     "the new epoch could not be made durable: nothing is started"},

    {S::starting, E::all_started, G::always, S::serving, "every resource is started"},
    {S::starting, E::start_failed, G::always, S::stopping,
     "a resource did not start: what was started is stopped again"},
    {S::starting, E::superseded, G::always, S::stopping, "the partner runs it at a higher epoch: it must stop here"},
    {S::starting, E::lease_lost, G::always, S::stopping,
     "its lease is over: the partner may take it, so it stops here"},
    {S::starting, E::operator_giveback, G::always, S::stopping, "an operator gives it to the partner"},
    {S::starting, E::cluster_demote, G::always, S::stopping, "the cluster no longer wants it here"},
    {S::starting, E::poisoned, G::always, S::stopping, "the partner poisons this node: every pool stops here"},
    {S::starting, E::shutdown, G::hands_over, S::stopping, "this node shuts down and hands it over"},

    {S::serving, E::partner_wants, G::always, S::stopping, "the partner asks for it: it is stopped to be released"},
    {S::serving, E::operator_giveback, G::always, S::stopping, "an operator gives it to the partner"},
    {S::serving, E::cluster_demote, G::always, S::stopping, "the cluster no longer wants it here"},
    {S::serving, E::giveback_due, G::always, S::stopping, "its home node was stable for long enough: it is given back"},
    {S::serving, E::resource_lost, G::always, S::stopping,
     "a resource failed and may not be restarted here: it is given away"},
    {S::serving, E::superseded, G::always, S::stopping, "the partner runs it at a higher epoch: it must stop here"},
    {S::serving, E::lease_lost, G::always, S::stopping, "its lease is over: the partner may take it, so it stops here"},
    {S::serving, E::poisoned, G::always, S::stopping, "the partner poisons this node: every pool stops here"},
    {S::serving, E::shutdown, G::hands_over, S::stopping, "this node shuts down and hands it over"},

    {S::stopping, E::all_stopped, G::was_superseded, S::elsewhere, "stopped; it is the partner's"},
    {S::stopping, E::all_stopped, G::was_poisoned, S::unsettled,
     "stopped, as the partner told this node to; nothing is released, and it is started here by a new proof only"},
    {S::stopping, E::all_stopped, G::lease_may_return, S::probing,
     "stopped, and still this node's by its record: it waits for a lease, or for the partner's word"},
    {S::stopping, E::all_stopped, G::taker_is_deaf, S::probing,
     "stopped for the partner, which cannot be told so now: nothing is released, and it is started here again"},
    {S::stopping, E::all_stopped, G::was_stray, S::unsettled, "stopped; the partner knows who may serve it"},
    {S::stopping, E::all_stopped, G::always, S::releasing, "everything is stopped"},
    {S::stopping, E::stop_failed, G::always, S::failed,
     "a resource did not stop, so it cannot be released: only a fence of this node can free it"},

    {S::releasing, E::durable, G::always, S::released, "the release is durable: the partner may have it"},
    {S::releasing, E::not_durable, G::always, S::failed, "the release could not be made durable"},

    {S::released, E::partner_holds, G::always, S::elsewhere, "the partner has it"},
    {S::released, E::partner_released, G::may_take, S::acquiring, "the partner had it and offers it back"},
    {S::released, E::partner_down, G::automatic_may_take, S::claiming,
     "the partner went down before it was seen to take it: this node claims it"},
    {S::released, E::poisoned, G::always, S::unsettled, "the partner poisons this node: the offer is withdrawn"},
    {S::released, E::bound_passed, G::give_back_home, S::asking,
     "the partner did not take it: this node takes it back"},
    {S::released, E::operator_takeover, G::partner_alive, S::asking, "an operator wants it here"},
    {S::released, E::operator_takeover, G::always, S::claiming,
     "an operator wants it here, and the partner does not answer"},
    {S::released, E::operator_force, G::always, S::claiming, "an operator wants it here by force"},
    {S::released, E::cluster_order, G::partner_alive, S::asking,
     "the cluster wants it here: the partner is asked before this node starts it"},
    {S::released, E::cluster_order, G::always, S::claiming,
     "the cluster wants it here, and the partner is not heard: this node claims it"},

    {S::failed, E::superseded, G::always, S::stopping, "the partner runs it at a higher epoch: it must stop here"},
    {S::failed, E::poisoned, G::always, S::stopping, "the partner poisons this node: it is stopped once more"},
    {S::failed, E::operator_takeover, G::always, S::probing,
     "an operator says that the cause is repaired: looks what runs"},
    {S::failed, E::operator_giveback, G::owner_here, S::stopping,
     "an operator gives it to the partner: it is stopped again"},
    {S::failed, E::cluster_demote, G::always, S::stopping, "the cluster wants it stopped: it is stopped again"},
});

// Groups of events that a state does nothing about, for one reason.
struct IgnoredGroup {
  S state;
  std::initializer_list<E> events;
  const char* why;
};

constexpr const char* kNothingAsked = "the partner is not asked to hand it over in this state";
constexpr const char* kNoLease = "nothing of it runs here under a lease, and no claim of it is decided";
constexpr const char* kNoClaim = "this node claims it from nobody";
constexpr const char* kNotUnderWay = "no such action is under way in this state";
constexpr const char* kLevel = "the partner's page is looked at again in the next state";
constexpr const char* kNothingHere = "nothing of it runs here";
constexpr const char* kRefused = "the command is refused with the reason before it gets here";
constexpr const char* kFinishesOrder = "what is under way is finished first; what the cluster wants is looked at then";
constexpr const char* kFinishes =
    "what is under way is finished first; the shutdown is looked at again in the next state";

const IgnoredGroup kIgnored[] = {
    {S::probing, {E::poisoned}, "what runs of it is looked at first, and then stopped: it is nobody's to resume"},
    {S::unsettled, {E::poisoned}, kNothingHere},
    {S::elsewhere, {E::poisoned}, kNothingHere},
    {S::stopping, {E::poisoned}, "it is stopped already; when it has, it is not released"},
    {S::releasing, {E::poisoned}, "everything is stopped; the offer is withdrawn when it is made"},

    {S::unsettled, {E::lease_lost, E::lease_expired}, kNoLease},
    {S::asking, {E::lease_lost, E::lease_expired}, kNoLease},
    {S::elsewhere, {E::lease_lost, E::lease_expired}, kNoLease},
    {S::requesting, {E::lease_lost, E::lease_expired}, kNoLease},
    {S::claiming, {E::lease_lost, E::lease_expired}, kNoLease},
    {S::fencing, {E::lease_lost}, kNoLease},
    {S::acquiring, {E::lease_lost, E::lease_expired}, kNoLease},
    {S::stopping, {E::lease_lost}, "it is stopped already, and the watchdog ends what does not stop"},
    {S::failed, {E::lease_lost}, "it could not be stopped: the watchdog ends it"},
    {S::releasing, {E::lease_lost, E::lease_expired}, kNoLease},
    {S::released, {E::lease_lost, E::lease_expired}, kNoLease},
    {S::probing, {E::lease_expired}, kNoClaim},
    {S::starting, {E::lease_expired}, kNoClaim},
    {S::serving, {E::lease_expired}, kNoClaim},
    {S::stopping, {E::lease_expired}, kNoClaim},
    {S::failed, {E::lease_expired}, kNoClaim},

    {S::probing, {E::cluster_order, E::cluster_demote}, "what runs of it is looked at first"},
    {S::unsettled, {E::cluster_demote}, kNothingHere},
    {S::asking, {E::cluster_order}, "it is on its way here"},
    {S::elsewhere, {E::cluster_demote}, kNothingHere},
    {S::requesting, {E::cluster_order}, "it is on its way here"},
    {S::claiming,
     {E::cluster_order, E::cluster_demote},
     "its claim is carried, or withdrawn, by what the cluster wants"},
    {S::fencing,
     {E::cluster_order, E::cluster_demote},
     "its claim is carried, or withdrawn, by what the cluster wants"},
    {S::acquiring, {E::cluster_order, E::cluster_demote}, kFinishesOrder},
    {S::starting, {E::cluster_order}, "it is on its way here"},
    {S::serving, {E::cluster_order}, "this node has it"},
    {S::stopping, {E::cluster_order, E::cluster_demote}, kFinishesOrder},
    {S::releasing, {E::cluster_order, E::cluster_demote}, kFinishesOrder},
    {S::released, {E::cluster_demote}, kNothingHere},
    {S::failed, {E::cluster_order}, "what did not stop is stopped first, or this node is fenced"},
    {S::probing, {E::cluster_vouches}, kNoClaim},
    {S::unsettled, {E::cluster_vouches}, kNoClaim},
    {S::asking, {E::cluster_vouches}, kNoClaim},
    {S::elsewhere, {E::cluster_vouches}, kNoClaim},
    {S::requesting, {E::cluster_vouches}, kNoClaim},
    {S::claiming, {E::cluster_vouches}, "the claim is made durable first"},
    {S::acquiring, {E::cluster_vouches}, kNoClaim},
    {S::starting, {E::cluster_vouches}, kNoClaim},
    {S::serving, {E::cluster_vouches}, kNoClaim},
    {S::stopping, {E::cluster_vouches}, kNoClaim},
    {S::releasing, {E::cluster_vouches}, kNoClaim},
    {S::released, {E::cluster_vouches}, kNoClaim},
    {S::failed, {E::cluster_vouches}, kNoClaim},

    {S::probing, {E::partner_vetoes}, kNothingAsked},
    {S::unsettled, {E::partner_vetoes}, kNothingAsked},
    {S::asking, {E::partner_vetoes}, kNothingAsked},
    {S::elsewhere, {E::partner_vetoes}, kNothingAsked},
    {S::claiming, {E::partner_vetoes}, kNothingAsked},
    {S::fencing, {E::partner_vetoes}, kNothingAsked},
    {S::acquiring, {E::partner_vetoes}, kNothingAsked},
    {S::starting, {E::partner_vetoes}, kNothingAsked},
    {S::serving, {E::partner_vetoes}, kNothingAsked},
    {S::stopping, {E::partner_vetoes}, kNothingAsked},
    {S::releasing, {E::partner_vetoes}, kNothingAsked},
    {S::released, {E::partner_vetoes}, kNothingAsked},
    {S::failed, {E::partner_vetoes}, kNothingAsked},

    {S::probing, {E::partner_rebooted, E::reboot_proved}, "its page is looked at again in the next state"},
    {S::unsettled, {E::partner_rebooted}, "a node that has just booted itself asks its partner, when that is up"},
    {S::asking, {E::partner_rebooted}, "its agent answers when it is up"},
    {S::claiming, {E::partner_rebooted}, "a page that is read after the claim was durable decides"},
    {S::fencing, {E::partner_rebooted}, "a page that is read after the claim was durable decides"},
    {S::acquiring, {E::partner_rebooted}, "this node has its proof"},
    {S::starting, {E::partner_rebooted}, "this node has it"},
    {S::serving, {E::partner_rebooted}, "this node has it"},
    {S::stopping, {E::partner_rebooted}, "what is under way is finished first"},
    {S::releasing, {E::partner_rebooted}, "what is under way is finished first"},
    {S::released, {E::partner_rebooted}, "it may have taken the offer: it is asked when its agent is up"},
    {S::failed, {E::partner_rebooted}, "an operator is needed"},
    {S::unsettled, {E::reboot_proved}, kNotUnderWay},
    {S::asking, {E::reboot_proved}, kNotUnderWay},
    {S::elsewhere, {E::reboot_proved}, kNotUnderWay},
    {S::requesting, {E::reboot_proved}, kNotUnderWay},
    {S::acquiring, {E::reboot_proved}, kNotUnderWay},
    {S::starting, {E::reboot_proved}, kNotUnderWay},
    {S::serving, {E::reboot_proved}, kNotUnderWay},
    {S::stopping, {E::reboot_proved}, kNotUnderWay},
    {S::releasing, {E::reboot_proved}, kNotUnderWay},
    {S::released, {E::reboot_proved}, kNotUnderWay},
    {S::failed, {E::reboot_proved}, kNotUnderWay},

    {S::probing,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_wants, E::partner_answered, E::partner_down,
      E::partner_back},
     kLevel},
    {S::probing,
     {E::durable, E::not_durable, E::fence_confirmed, E::fence_failed, E::fence_given_up, E::all_started,
      E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost, E::bound_passed, E::giveback_due},
     kNotUnderWay},
    {S::probing, {E::superseded}, "what really runs here decides whether anything must stop"},
    {S::probing, {E::operator_giveback}, kRefused},
    {S::probing, {E::shutdown}, kFinishes},

    {S::unsettled, {E::superseded, E::partner_answered, E::shutdown}, kNothingHere},
    {S::unsettled,
     {E::partner_down, E::partner_back},
     "a node that has not seen its partner waits for it or for an operator"},
    {S::unsettled,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost,
      E::bound_passed, E::giveback_due},
     kNotUnderWay},
    {S::unsettled, {E::operator_giveback}, kRefused},

    {S::asking, {E::partner_wants, E::superseded}, kNothingHere},
    {S::asking, {E::partner_vacant, E::partner_back}, "the answer decides"},
    {S::asking,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost,
      E::bound_passed, E::giveback_due},
     kNotUnderWay},
    {S::asking, {E::operator_takeover, E::operator_giveback}, kRefused},

    {S::elsewhere, {E::partner_holds, E::partner_back, E::partner_answered}, "as it should be"},
    {S::elsewhere, {E::superseded, E::shutdown}, kNothingHere},
    {S::elsewhere,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost,
      E::bound_passed, E::giveback_due},
     kNotUnderWay},
    {S::elsewhere, {E::operator_giveback}, kRefused},

    {S::requesting, {E::partner_holds, E::partner_vacant, E::partner_back, E::partner_answered}, "the release decides"},
    {S::requesting, {E::partner_wants, E::superseded}, kNothingHere},
    {S::requesting,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost,
      E::giveback_due},
     kNotUnderWay},
    {S::requesting, {E::operator_takeover, E::operator_giveback}, kRefused},

    {S::claiming,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_wants, E::partner_answered, E::partner_down,
      E::superseded},
     kLevel},
    {S::claiming,
     {E::all_running, E::some_running, E::none_running, E::fence_confirmed, E::fence_failed, E::fence_given_up,
      E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost, E::bound_passed,
      E::giveback_due},
     kNotUnderWay},
    {S::claiming, {E::operator_takeover, E::operator_force, E::operator_giveback}, kRefused},
    {S::claiming, {E::shutdown}, kFinishes},

    {S::fencing,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_wants, E::partner_answered, E::partner_down,
      E::superseded},
     "the fence's answer decides"},
    {S::fencing,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::all_started, E::start_failed,
      E::all_stopped, E::stop_failed, E::resource_lost, E::bound_passed, E::giveback_due},
     kNotUnderWay},
    {S::fencing, {E::operator_takeover, E::operator_force, E::operator_giveback}, kRefused},
    {S::fencing, {E::shutdown}, kFinishes},

    {S::acquiring,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_wants, E::partner_answered, E::partner_down,
      E::partner_back, E::superseded},
     kLevel},
    {S::acquiring,
     {E::all_running, E::some_running, E::none_running, E::fence_confirmed, E::fence_failed, E::fence_given_up,
      E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost, E::bound_passed,
      E::giveback_due},
     kNotUnderWay},
    {S::acquiring, {E::operator_takeover, E::operator_force, E::operator_giveback}, kRefused},
    {S::acquiring, {E::shutdown}, kFinishes},

    {S::starting,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_wants, E::partner_answered, E::partner_down,
      E::partner_back},
     kLevel},
    {S::starting,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_stopped, E::stop_failed, E::resource_lost, E::bound_passed, E::giveback_due},
     kNotUnderWay},
    {S::starting, {E::operator_takeover, E::operator_force}, kRefused},

    {S::serving,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_answered, E::partner_down, E::partner_back},
     "this node has it"},
    {S::serving,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::bound_passed},
     kNotUnderWay},
    {S::serving, {E::operator_takeover, E::operator_force}, kRefused},

    {S::stopping,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_wants, E::partner_answered, E::partner_down,
      E::partner_back, E::superseded},
     kLevel},
    {S::stopping,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_started, E::start_failed, E::resource_lost, E::bound_passed, E::giveback_due},
     kNotUnderWay},
    {S::stopping, {E::operator_takeover, E::operator_force, E::operator_giveback}, kRefused},
    {S::stopping, {E::shutdown}, kFinishes},

    {S::releasing,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_wants, E::partner_answered, E::partner_down,
      E::partner_back, E::superseded},
     kLevel},
    {S::releasing,
     {E::all_running, E::some_running, E::none_running, E::fence_confirmed, E::fence_failed, E::fence_given_up,
      E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost, E::bound_passed,
      E::giveback_due, E::operator_takeover, E::operator_force, E::operator_giveback, E::shutdown},
     kNotUnderWay},

    {S::released,
     {E::partner_vacant, E::partner_wants, E::partner_answered, E::partner_back, E::superseded, E::shutdown},
     kNothingHere},
    {S::released,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost,
      E::giveback_due},
     kNotUnderWay},
    {S::released, {E::operator_giveback}, kRefused},

    {S::failed,
     {E::partner_holds, E::partner_vacant, E::partner_released, E::partner_wants, E::partner_answered, E::partner_down,
      E::partner_back, E::giveback_due, E::shutdown, E::bound_passed},
     "an operator is needed"},
    {S::failed,
     {E::all_running, E::some_running, E::none_running, E::durable, E::not_durable, E::fence_confirmed, E::fence_failed,
      E::fence_given_up, E::all_started, E::start_failed, E::all_stopped, E::stop_failed, E::resource_lost,
      E::operator_force},
     kNotUnderWay},
};

}  // namespace

std::span<const Transition> transitions() { return kTransitions; }

std::span<const Ignored> ignored_events() {
  static const std::vector<Ignored> list = [] {
    std::vector<Ignored> flat;
    for (const IgnoredGroup& group : kIgnored) {
      for (const E event : group.events) flat.push_back({group.state, event, group.why});
    }
    return flat;
  }();
  return list;
}

std::string transitions_as_mermaid() {
  std::string out = "stateDiagram-v2\n";
  for (const Transition& row : kTransitions) {
    out += "  " + std::string(text_of(row.from)) + " --> " + std::string(text_of(row.to)) + " : " +
           std::string(text_of(row.event));
    if (row.guard != G::always) out += " [" + std::string(text_of(row.guard)) + "]";
    out += "\n";
  }
  return out;
}

std::string_view text_of(PoolState state) {
  switch (state) {
    case S::probing:
      return "probing";
    case S::unsettled:
      return "unsettled";
    case S::asking:
      return "asking";
    case S::elsewhere:
      return "elsewhere";
    case S::requesting:
      return "requesting";
    case S::claiming:
      return "claiming";
    case S::fencing:
      return "fencing";
    case S::acquiring:
      return "acquiring";
    case S::starting:
      return "starting";
    case S::serving:
      return "serving";
    case S::stopping:
      return "stopping";
    case S::releasing:
      return "releasing";
    case S::released:
      return "released";
    case S::failed:
      return "failed";
  }
  return "unknown";
}

std::string_view text_of(PoolEvent event) {
  switch (event) {
    case E::all_running:
      return "all-running";
    case E::some_running:
      return "some-running";
    case E::none_running:
      return "none-running";
    case E::partner_holds:
      return "partner-holds";
    case E::partner_vacant:
      return "partner-vacant";
    case E::partner_released:
      return "partner-released";
    case E::partner_wants:
      return "partner-wants";
    case E::partner_answered:
      return "partner-answered";
    case E::partner_vetoes:
      return "partner-vetoes";
    case E::superseded:
      return "superseded";
    case E::partner_down:
      return "partner-down";
    case E::partner_rebooted:
      return "partner-rebooted";
    case E::reboot_proved:
      return "reboot-proved";
    case E::poisoned:
      return "poisoned";
    case E::partner_back:
      return "partner-back";
    case E::durable:
      return "durable";
    case E::not_durable:
      return "not-durable";
    case E::fence_confirmed:
      return "fence-confirmed";
    case E::fence_failed:
      return "fence-failed";
    case E::fence_given_up:
      return "fence-given-up";
    case E::all_started:
      return "all-started";
    case E::start_failed:
      return "start-failed";
    case E::all_stopped:
      return "all-stopped";
    case E::stop_failed:
      return "stop-failed";
    case E::resource_lost:
      return "resource-lost";
    case E::lease_lost:
      return "lease-lost";
    case E::lease_expired:
      return "lease-expired";
    case E::bound_passed:
      return "bound-passed";
    case E::giveback_due:
      return "giveback-due";
    case E::operator_takeover:
      return "operator-takeover";
    case E::operator_force:
      return "operator-force";
    case E::operator_giveback:
      return "operator-giveback";
    case E::cluster_order:
      return "cluster-order";
    case E::cluster_vouches:
      return "cluster-vouches";
    case E::cluster_demote:
      return "cluster-demote";
    case E::shutdown:
      return "shutdown";
  }
  return "unknown";
}

std::string_view text_of(Guard guard) {
  switch (guard) {
    case G::always:
      return "always";
    case G::held_here:
      return "held here";
    case G::offered_here:
      return "offered here";
    case G::partners_by_record:
      return "the partner's by the record";
    case G::runs_above:
      return "the partner runs it at a higher epoch";
    case G::home_or_owner_here:
      return "home or owner here";
    case G::owner_here:
      return "owner here";
    case G::may_take:
      return "may take";
    case G::automatic_may_take:
      return "automatic and may take";
    case G::partner_alive:
      return "partner alive";
    case G::hands_over:
      return "hands over";
    case G::was_superseded:
      return "was superseded";
    case G::was_stray:
      return "was stray";
    case G::was_poisoned:
      return "was poisoned";
    case G::by_partner:
      return "by the partner itself";
    case G::lease_awaited:
      return "lease awaited";
    case G::lease_may_return:
      return "its lease may return";
    case G::give_back_home:
      return "this node's again";
    case G::taker_is_deaf:
      return "the partner is not heard";
    case G::clusters_held:
      return "held here, and the cluster decides";
    case G::cluster_decides:
      return "the cluster decides";
    case G::clusters_to_give:
      return "the cluster wants it there";
  }
  return "unknown";
}

}  // namespace hapair::agent
