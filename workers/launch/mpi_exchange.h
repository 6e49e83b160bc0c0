// The gradient exchange over MPI, all by messages between two ranks that are tested for, never waited for: two
// pipelines may have exchanges under way at the same time, in any order, on one thread.
//
// The flat gradient is cut into one segment a worker. Each worker sends its partial sums of segment g to worker g,
// which adds them by the slot tree and sends the segment of the result to everyone.
#pragma once

#include <mpi.h>

#include <memory>

#include "workers/reduction/gradient_exchange.h"

namespace jigsaw {

// Takes the communicator over (all workers, in order).
std::unique_ptr<GradientExchange> make_mpi_exchange(MPI_Comm communicator);

}  // namespace jigsaw
