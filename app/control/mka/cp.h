// The Controlled Port state machine (802.1X-2020 §12.4): the order in which one SAK takes over from
// another. Pure: step() asks for inputs and says what is to be done through CpActions. Owned by the
// KaY, control thread only.
//
// A SAK goes RECEIVE -> RECEIVING -> READY -> TRANSMIT -> TRANSMITTING -> RETIRE: created and
// received by everybody first, then the key server transmits, then the others, and only then the
// SAK before it is retired. In RETIRE the SAK in use is the "old" key, as the standard has it, and
// the place of the "latest" one is free.
#pragma once

#include "app/control/mka/types.h"

namespace sealwire::mka {

/// What the KaY lets the port do (§12.3).
enum class Connect : uint8_t {
  pending,        ///< no live peer
  authenticated,  ///< live, and the key server advises plain text
  secure          ///< live, SAKs will be or are in use
};

struct CpInputs {
  Connect connect = Connect::pending;
  bool generated_here = false;       ///< the latest SAK is ours to distribute
  bool all_receiving = false;        ///< of the latest SAK
  bool any_receiving = false;        ///< of the latest SAK
  bool server_transmitting = false;  ///< with the latest SAK
};

class CpActions {
 public:
  virtual ~CpActions() = default;
  /// Asked anew before every transition: what they say depends on which SAK is the latest.
  virtual CpInputs cp_inputs() = 0;
  /// Receive and transmit SAs of the SAK, receive SAs in use. False: the SecY refused; the SAK is
  /// given up.
  virtual bool create_and_receive(const Ki& ki) = 0;
  /// Transmit with the SAK from now on. False as above.
  virtual bool transmit(const Ki& ki) = 0;
  /// The SAK is no longer wanted. Its transmit SA goes; receive SAs may stay until the peers have
  /// moved.
  virtual void release(const Ki& ki) = 0;
  /// No SAK is wanted any more, at once.
  virtual void release_all() = 0;
  /// Our SAK-Use changed: peers wait for it.
  virtual void new_info() = 0;
};

class ControlledPort {
 public:
  enum class State : uint8_t { pending, plain, secured, receiving, ready, transmitting, retire };

  ControlledPort(CpActions& actions, Time transmit_delay, Time retire_delay)
      : actions_(actions), transmit_delay_(transmit_delay), retire_delay_(retire_delay) {}

  /// A SAK was generated or distributed (newSAK).
  void offer(const Ki& ki, An an) {
    distributed_ = ki;
    distributed_an_ = an;
    new_sak_ = true;
  }
  /// Forgets the latest SAK before it was transmitted with.
  void abandon_latest();

  void step(Time now);
  /// When step() has to be called again for a timer; kNever if only an input can move it.
  Time deadline(Time now) const { return timer_ > now ? timer_ : kNever; }

  State state() const { return state_; }
  const Ki& latest() const { return latest_; }
  An latest_an() const { return latest_an_; }
  bool latest_tx() const { return latest_tx_; }
  bool latest_rx() const { return latest_rx_; }
  const Ki& old() const { return old_; }
  An old_an() const { return old_an_; }
  bool old_tx() const { return old_tx_; }
  bool old_rx() const { return old_rx_; }
  /// The SAK whose transmit SA is the encodingSA, or none.
  const Ki& in_use() const { return latest_tx_ ? latest_ : old_; }

 private:
  bool transition(Time now);
  void receive(Time now);
  void retire();
  void change();

  CpActions& actions_;
  Time transmit_delay_, retire_delay_;
  State state_ = State::pending;
  Time timer_ = kNever;
  bool new_sak_ = false;
  Ki distributed_;
  An distributed_an_;
  Ki latest_, old_;
  An latest_an_, old_an_;
  bool latest_tx_ = false, latest_rx_ = false, old_tx_ = false, old_rx_ = false;
};

std::string_view name(ControlledPort::State state);

}  // namespace sealwire::mka
