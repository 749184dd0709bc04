import { assertEquals } from "@std/assert";
import { Routes } from "./_routes.ts";

Deno.test("Routes keeps three ways to a node, the shortest first", () => {
  const routes = new Routes("me");
  for (const hops of [["a", "b"], ["c"], ["d", "e", "f"], ["g", "h"], ["c"]]) {
    routes.learn("x", hops);
  }
  assertEquals(routes.to("x"), [["c"], ["g", "h"], ["a", "b"]]);
  assertEquals(routes.to("y"), []);
});

Deno.test("Routes.broken() forgets what uses the link, in either direction", () => {
  const routes = new Routes("me");
  routes.learn("x", ["a", "b"]);
  routes.learn("x", ["b", "a"]);
  routes.learn("x", ["c"]);
  routes.learn("a", ["b"]);
  routes.broken("a", "b");
  assertEquals([routes.to("x"), routes.to("a")], [[["c"]], []]);
  routes.broken("x", "c");
  assertEquals(routes.to("x"), []);
  routes.learn("x", ["c"]);
  routes.broken("c", "me");
  assertEquals(routes.to("x"), []);
});

Deno.test("Routes.failed() forgets the shortest way", () => {
  const routes = new Routes("me");
  routes.learn("x", ["a", "b"]);
  routes.learn("x", ["c"]);
  routes.failed("x");
  assertEquals(routes.to("x"), [["a", "b"]]);
  routes.failed("x");
  routes.failed("x");
  assertEquals(routes.to("x"), []);
});

Deno.test("Routes.failed() also forgets the ways through the same nodes", () => {
  const routes = new Routes("me");
  routes.learn("x", ["a"]);
  routes.learn("x", ["b", "a"]);
  routes.learn("x", ["b", "c"]);
  routes.failed("x");
  assertEquals(routes.to("x"), [["b", "c"]]);
});

Deno.test("Routes keeps ways to 4,096 nodes, and forgets the oldest first", () => {
  const routes = new Routes("me");
  for (let i = 0; i < 5000; i++) routes.learn(`${i}`, ["a"]);
  assertEquals([routes.to("903"), routes.to("904")], [[], [["a"]]]);
  routes.clear();
  assertEquals(routes.to("4999"), []);
});
