#include "app/control/mka/cp.h"

#include <utility>

namespace sealwire::mka {

std::string_view name(ControlledPort::State state) {
  switch (state) {
    case ControlledPort::State::pending:
      return "pending";
    case ControlledPort::State::plain:
      return "plain";
    case ControlledPort::State::secured:
      return "secured";
    case ControlledPort::State::receiving:
      return "receiving";
    case ControlledPort::State::ready:
      return "ready";
    case ControlledPort::State::transmitting:
      return "transmitting";
    case ControlledPort::State::retire:
      return "retire";
  }
  return "";
}

void ControlledPort::step(Time now) {
  // Every transition either waits for a timer or an input or consumes one: a handful of rounds
  // settles it.
  while (transition(now)) {
  }
}

bool ControlledPort::transition(Time now) {
  const CpInputs inputs = actions_.cp_inputs();
  const bool changed_connect =
      state_ != State::pending && state_ != State::plain && inputs.connect != Connect::secure;
  if (changed_connect) {
    change();
    return true;
  }
  switch (state_) {
    case State::pending:
      new_sak_ = new_sak_ && inputs.connect == Connect::secure;
      if (inputs.connect == Connect::secure) state_ = State::secured;
      if (inputs.connect == Connect::authenticated) state_ = State::plain;
      return inputs.connect != Connect::pending;
    case State::plain:
      if (inputs.connect == Connect::authenticated) return false;
      state_ = State::pending;
      return true;
    case State::secured:
    case State::retire:
      if (!std::exchange(new_sak_, false)) return false;
      receive(now);
      return true;
    case State::receiving: {
      if (new_sak_) {
        abandon_latest();
        return true;
      }
      if (!inputs.generated_here) {
        state_ = State::ready;
        timer_ = kNever;
        return true;
      }
      // A slow peer does not hold up the others for ever, but transmitting to nobody helps no one.
      const bool waited = now >= timer_ && inputs.any_receiving;
      if (!inputs.all_receiving && !waited) return false;
      break;
    }
    case State::ready:
      if (new_sak_) {
        abandon_latest();
        return true;
      }
      if (!inputs.server_transmitting) return false;
      break;
    case State::transmitting:
      if (now < timer_ && !new_sak_) return false;
      retire();
      return true;
  }
  // TRANSMIT. A transmit SA that cannot be enabled must not leave the machine here: the SAK is
  // given up.
  if (!actions_.transmit(latest_)) {
    abandon_latest();
    return true;
  }
  latest_tx_ = true;
  timer_ = now + (old_tx_ ? retire_delay_ : Time{0});
  old_tx_ = false;
  state_ = State::transmitting;
  actions_.new_info();
  return true;
}

void ControlledPort::receive(Time now) {
  latest_ = distributed_;
  latest_an_ = distributed_an_;
  if (!actions_.create_and_receive(latest_)) {
    abandon_latest();
    return;
  }
  latest_rx_ = true;
  timer_ = now + transmit_delay_;
  state_ = State::receiving;
  actions_.new_info();
}

void ControlledPort::abandon_latest() {
  if (latest_.none() || latest_tx_) return;
  actions_.release(std::exchange(latest_, {}));
  latest_tx_ = latest_rx_ = false;
  timer_ = kNever;
  // The SAK before, if there is one, is still in use.
  state_ = old_.none() ? State::secured : State::retire;
  actions_.new_info();
}

void ControlledPort::retire() {
  if (!old_.none()) actions_.release(old_);
  old_ = std::exchange(latest_, {});
  old_an_ = latest_an_;
  old_tx_ = std::exchange(latest_tx_, false);
  old_rx_ = std::exchange(latest_rx_, false);
  timer_ = kNever;
  state_ = State::retire;
  actions_.new_info();
}

void ControlledPort::change() {
  latest_ = old_ = {};
  latest_tx_ = latest_rx_ = old_tx_ = old_rx_ = false;
  new_sak_ = false;
  timer_ = kNever;
  state_ = State::pending;
  actions_.release_all();
}

}  // namespace sealwire::mka
