#include "pipelines/tables/routes.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace sealwire::pipelines {

Routes::Routes(std::vector<Route> routes) : routes_(std::move(routes)) {
  const auto network = [](const Route& route) {
    return network_of(route.destination.address, route.destination.length);
  };
  std::stable_sort(routes_.begin(), routes_.end(), [&](const Route& a, const Route& b) {
    return std::tuple(b.destination.length, network(a)) <
           std::tuple(a.destination.length, network(b));
  });
  for (std::size_t at = 0; at < routes_.size(); ++at) {
    const Prefix& prefix = routes_[at].destination;
    networks_.push_back(network(routes_[at]));
    auto& lengths = lengths_[prefix.address.v6 ? 1 : 0];
    if (lengths.empty() || lengths.back().bits != prefix.length)
      lengths.push_back({prefix.length, at, at});
    lengths.back().end = at + 1;
  }
}

std::size_t Routes::find_of_many(const Length& length, const IpAddress& network) const {
  const auto begin = networks_.begin();
  return static_cast<std::size_t>(
      std::lower_bound(begin + static_cast<std::ptrdiff_t>(length.begin),
                       begin + static_cast<std::ptrdiff_t>(length.end), network) -
      begin);
}

}  // namespace sealwire::pipelines
