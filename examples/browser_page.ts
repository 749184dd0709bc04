/// <reference lib="dom" />
/**
 * What runs in the page of `browser.ts`: a node, whose events the page shows.
 *
 * @module
 */
import { createNode, type Node } from "@devts/devts/browser";
import { hopRouter } from "@devts/routing/hop";

/** The events of pages, and of whoever chats with them. */
export interface PageEvents {
  /** Somebody says something. */
  say(text: string): void;
  /** Replies with the lines that the page shows. */
  shown(): string[];
}

/** Joins the cluster of the server that this page comes from. */
async function main(): Promise<void> {
  const node = createNode<PageEvents>({
    cluster: new URLSearchParams(location.search).get("cluster") ?? "example",
    meta: "page",
    router: hopRouter(),
  });
  const lines = element("lines");
  node.on("say", (text, { from }) => show(lines, `${from}: ${text}`));
  node.on("shown", () => [...lines.children].map((line) => line.textContent));
  const tell = () => tellMembers(node);
  node.onSystem("join", tell);
  node.onSystem("leave", tell);

  element("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = element("text");
    if (!(text instanceof HTMLInputElement) || text.value === "") return;
    show(lines, `you: ${text.value}`);
    const { value } = text;
    text.value = "";
    await node.emit("say", value);
  });
  // A page that goes away says goodbye.
  addEventListener("pagehide", () => node.close());

  await node.join(`${location.origin.replace(/^http/, "ws")}/cluster`);
  await node.emit("say", "hello from a page");
}

function tellMembers(node: Node<PageEvents>): void {
  const count = node.members.size + 1;
  element("members").textContent = `${node.id}, one of ${count} nodes`;
}

/** Text, never markup: it comes from others. */
function show(lines: HTMLElement, text: string): void {
  const line = document.createElement("li");
  line.textContent = text;
  lines.prepend(line);
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no element "${id}"`);
  return found;
}

if (typeof document !== "undefined") await main();
