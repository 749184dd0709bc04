import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { seededRandom } from "./_random.ts";
import { layOut } from "./_picture_layout.ts";
import { topologySvg } from "./picture.ts";
import type {
  LinkState,
  NodeState,
  Topology,
  TopologyLink,
  TopologyNode,
} from "./explain.ts";

const FRAME = { width: 760, height: 560, top: 80, side: 70, bottom: 100 };

function node(
  id: string,
  state: NodeState = "alive",
  via: string | null = null,
): TopologyNode {
  return { id, state, isReachable: true, via };
}

function link(
  a: string,
  b: string,
  source: "own" | "told" = "told",
  state: LinkState = "open",
  cost: number | null = null,
): TopologyLink {
  return { a, b, source, state, cost };
}

const ROW: Topology = {
  self: "ada",
  nodes: [node("ada", "self"), node("bob"), node("cyd")],
  links: [link("ada", "bob", "own"), link("bob", "cyd")],
};

/** What is drawn in the picture itself, without the styles and the legend. */
function count(svg: string, pattern: RegExp): number {
  return [...svg.matchAll(pattern)].length;
}

Deno.test("topologySvg() draws nodes with their names, links and a title", () => {
  const svg = topologySvg(ROW);
  assert(svg.startsWith("<svg xmlns="));
  assert(svg.endsWith("</svg>\n"));
  assertStringIncludes(svg, ">The network as &quot;ada&quot; knows it</text>");
  assertStringIncludes(svg, ">3 nodes, 2 links</text>");
  for (const id of ["ada", "bob", "cyd"]) {
    assertEquals(
      count(svg, new RegExp(`class="label"[^>]*>${id}</text>`, "g")),
      1,
    );
  }
  assertEquals(count(svg, /<title>ada – bob: open<\/title>/g), 1);
  assertEquals(count(svg, /<title>bob – cyd: open<\/title>/g), 1);
});

Deno.test("topologySvg() gives each state a shape of its own, and a place in the legend", () => {
  const states: readonly NodeState[] = [
    "self",
    "alive",
    "suspect",
    "stranger",
    "failed",
    "left",
  ];
  const nodes = states.map((state) => node(`x-${state}`, state));
  const svg = topologySvg({ self: "x-self", nodes, links: [] });
  const shapes = states.map((state) => {
    const [, shape = ""] = svg.match(
      new RegExp(
        `<g class="${state}" [^>]*><title>[^<]*</title>(.*?)<text class="label`,
      ),
    ) ?? [];
    return shape.replace(/ y="[^"]*"/, "");
  });
  // A member and a stranger differ in whether they are filled: a matter of style.
  assertEquals(new Set(shapes).size, states.length - 1);
  for (const state of states) {
    assertEquals(count(svg, new RegExp(`<g class="${state}"`, "g")), 2, state);
  }
  assertEquals(count(topologySvg(ROW), /<g class="failed"/g), 0);
});

Deno.test("topologySvg() highlights the route, also where the way is not known", () => {
  const nodes = [...ROW.nodes, node("dan", "alive", "cyd")];
  const svg = topologySvg({ ...ROW, nodes }, {
    route: ["ada", "bob", "cyd", "dan", "nobody"],
  });
  // One more stands in the legend.
  assertEquals(count(svg, /class="route"/g), 3);
  assertEquals(count(svg, /class="arrow"/g), 2);
  assertEquals(count(svg, /class="route unknown"/g), 1);
  assertEquals(count(svg, /class="label on"/g), 4);
  assertEquals(count(topologySvg(ROW), /class="route"/g), 0);
});

Deno.test("topologySvg() shows links that are behind or take nothing, and what links cost", () => {
  const svg = topologySvg({
    ...ROW,
    links: [
      link("ada", "bob", "own", "dropping", 1),
      link("ada", "cyd", "own", "congested", 7),
    ],
  });
  assertEquals(count(svg, /class="stuck"/g), 2);
  assertEquals(count(svg, /class="late"/g), 2);
  assertEquals(count(svg, /class="cost"[^>]*>7</g), 2);
  assertEquals(count(svg, /class="cost"[^>]*>1</g), 0);
  assertStringIncludes(svg, "ada – cyd: congested, cost 7");
});

Deno.test("topologySvg() escapes what ids and the title contain", () => {
  const id = `<script>&"'\u0000\ud800]]>`;
  const svg = topologySvg(
    { self: id, nodes: [node(id, "self"), node("b")], links: [link(id, "b")] },
    { title: `"><img src=x onerror=alert(1)>` },
  );
  assertEquals(count(svg, /<(?:script|img)/g), 0);
  // deno-lint-ignore no-control-regex -- what must not be in XML
  assertEquals(count(svg, /[\x00-\x08]/g), 0);
  assert(svg.isWellFormed());
  assertStringIncludes(svg, "&lt;script&gt;&amp;&quot;&#39;\ufffd\ufffd]]&gt;");
  assertStringIncludes(svg, 'aria-label="&quot;&gt;&lt;img src=x onerror=');
});

Deno.test("topologySvg() does with nothing, links to nowhere, and names twice", () => {
  const empty = topologySvg({ self: null, nodes: [], links: [] });
  assertStringIncludes(empty, ">0 nodes, 0 links<");
  const svg = topologySvg({
    self: "__proto__",
    nodes: [
      node("__proto__", "self"),
      node("b"),
      node("b"),
      node("c", "alive", "z"),
    ],
    links: [link("b", "nobody"), link("b", "b"), link("__proto__", "b")],
  });
  assertStringIncludes(svg, ">3 nodes, 1 link<");
  assert(!svg.includes("NaN"));
});

Deno.test("topologySvg() cuts long names, and keeps them whole where one points", () => {
  const id = "0123456789abcdef0123456789abcdef";
  const svg = topologySvg({ self: id, nodes: [node(id, "self")], links: [] });
  assertStringIncludes(svg, ">01234567…</text>");
  assertStringIncludes(svg, `<title>${id}: this node</title>`);
});

Deno.test("layOut() places the same nodes the same, in any order", () => {
  const random = seededRandom(3);
  const ids = Array.from({ length: 30 }, (_, at) => `n${at}`);
  const links = ids.slice(1).map((id, at) =>
    link(ids[Math.floor(random() * (at + 1))] ?? "", id)
  );
  const places = layOut(ids, links.map(({ a, b }) => [a, b]), FRAME, "n0");
  const again = layOut(
    ids.toReversed(),
    links.map(({ a, b }) => [a, b] as const).reverse(),
    FRAME,
    "n0",
  );
  for (const id of ids) assertEquals(places.get(id), again.get(id));
});

Deno.test("topologySvg() does not depend on the order of nodes and links", () => {
  const { self, nodes, links } = ROW;
  const turned = { self, nodes: nodes.toReversed(), links: links.toReversed() };
  assertEquals(topologySvg(turned), topologySvg(ROW));
});

Deno.test("layOut() keeps nodes in the frame, apart from each other, the first on the left", () => {
  for (const size of [1, 2, 3, 8, 40]) {
    const ids = Array.from({ length: size }, (_, at) => `n${at}`);
    const links = ids.slice(1).map((id, at) => [ids[at] ?? "", id] as const);
    const last = ids.at(-1) ?? "";
    const places = [...layOut(ids, links, FRAME, last)];
    assertEquals(places.length, size);
    for (const [id, { x, y }] of places) {
      const isInside = x >= FRAME.side - 1 &&
        x <= FRAME.width - FRAME.side + 1 &&
        y >= FRAME.top - 1 && y <= FRAME.height - FRAME.bottom + 1;
      assert(isInside, `${id} of ${size} at ${x}, ${y}`);
      for (const [other, place] of places) {
        if (other === id) continue;
        const distance = Math.hypot(place.x - x, place.y - y);
        assert(distance > 15, `${id} and ${other} of ${size}: ${distance}`);
      }
    }
    const place = places.find(([id]) => id === last)?.[1];
    assert(size === 1 || (place !== undefined && place.x <= FRAME.width / 2));
  }
});

Deno.test("layOut() draws without crossings what can be", () => {
  const ring = ["a", "b", "c", "d", "e", "f"];
  const links = ring.map((id, at) =>
    [id, ring[(at + 1) % ring.length] ?? ""] as const
  );
  const places = layOut(ring, links, FRAME, null);
  const middle = { x: 0, y: 0 };
  for (const { x, y } of places.values()) {
    middle.x += x / ring.length;
    middle.y += y / ring.length;
  }
  // Around the middle, they stand in the order of the ring.
  const turns = ring.map((id) => {
    const { x, y } = places.get(id) ?? middle;
    return Math.atan2(y - middle.y, x - middle.x);
  });
  const steps = turns.map((turn, at) =>
    Math.sin((turns[(at + 1) % turns.length] ?? 0) - turn) > 0
  );
  assertEquals(new Set(steps).size, 1);
});
