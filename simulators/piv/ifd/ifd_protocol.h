// SPDX-License-Identifier: Apache-2.0
// What the reader driver (the shared object that pcscd loads) and the card server say to each
// other: one SOCK_SEQPACKET message a request, one message its answer.
//
//   request: one byte, what is asked, then its data
//   answer:  one byte, the outcome, then its data
#ifndef FOREKEY_SIMULATORS_PIV_IFD_IFD_PROTOCOL_H_
#define FOREKEY_SIMULATORS_PIV_IFD_IFD_PROTOCOL_H_

#include <cstddef>
#include <cstdint>

namespace forekey::ifd {

constexpr uint8_t kPresence = 'P';  // answer: kPresent or kAbsent
constexpr uint8_t kPolled = 'Q';    // the same, by who watches the slot: tells it of a removal once
constexpr uint8_t kPowerUp = 'U';   // answer: kPresent with the ATR, or kAbsent
constexpr uint8_t kPowerDown = 'D';  // answer: kPresent or kAbsent
constexpr uint8_t kReset = 'R';      // answer: kPresent with the ATR, or kAbsent
constexpr uint8_t kTransmit = 'T';   // data: an APDU; answer: kPresent with its answer, or kAbsent
constexpr uint8_t kWait = 'W';       // answered when the card comes or goes

constexpr uint8_t kAbsent = 0;  // no card in the slot, or it went while it worked
constexpr uint8_t kPresent = 1;

// An extended APDU of the largest size, with the byte in front of it, fits.
constexpr size_t kMaxMessage = 66'000;

}  // namespace forekey::ifd

#endif  // FOREKEY_SIMULATORS_PIV_IFD_IFD_PROTOCOL_H_
