// SPDX-License-Identifier: Apache-2.0
// Streams that live and say nothing, for who wants to know what is kept of each.
#ifndef FOREKEY_BENCH_GRPC_PAIR_PAIR_STREAMS_H_
#define FOREKEY_BENCH_GRPC_PAIR_PAIR_STREAMS_H_

#include <string>

#include "bench/grpc_pair/pair_facts.h"

namespace forekey::bench {

// Opens `count` bidirectional streams on so many connections, has one message echoed on each,
// prints "open", and keeps them until stdin ends. Then it ends them in order and prints one JSON
// line. With proofs of a session where `gated`. Where a stream fails, the process ends.
void HoldStreams(const PairFacts& facts, const std::string& host, int count, int connections,
                 bool gated);

}  // namespace forekey::bench

#endif  // FOREKEY_BENCH_GRPC_PAIR_PAIR_STREAMS_H_
