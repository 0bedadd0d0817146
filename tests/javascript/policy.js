// What the package's policy chooses. In: one JSON object on standard input; out: one object a line.

import { Observation } from "../../javascript/client/observation.js";
import { best, PlanSelector } from "../../javascript/client/policy.js";

const { costs, worlds } = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(costs.map(({ debt, ...each }) => best(each, debt))));
for (const images of worlds) console.log(JSON.stringify(played(images)));

/** What is chosen for each image, after having observed those before it; and the link and the shares in the end. */
function played(images) {
  const selector = new PlanSelector("auto", { exitShare: 0.5 });
  const chosen = images.map(({ sizes, sent, seen }) => {
    const together = selector.plan(sizes);
    const offsets = sent.map(([size, now]) => selector.link.sent(size, now));
    const ends = seen.layered.map((message) => (message === null ? 0 : offsets[message]));
    selector.observe(new Observation({ ...seen, sizes, ends }));
    return together;
  });
  return { chosen, rate: selector.link.rate, roundTrip: selector.link.roundTrip, shares: selector.shares(images[0].sizes.length) };
}
