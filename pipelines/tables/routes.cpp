#include "pipelines/tables/routes.h"

#include <algorithm>
#include <utility>

namespace sealwire::pipelines {

Routes::Routes(std::vector<Route> routes) {
  for (Route& route : routes)
    (route.destination.address.v6 ? v6_ : v4_).push_back(std::move(route));
  auto longest_first = [](const Route& a, const Route& b) {
    return a.destination.length > b.destination.length;
  };
  std::stable_sort(v4_.begin(), v4_.end(), longest_first);
  std::stable_sort(v6_.begin(), v6_.end(), longest_first);
}

}  // namespace sealwire::pipelines
