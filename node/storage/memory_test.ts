import { memoryStorage } from "./memory.ts";
import { testStorage } from "./testing.ts";

testStorage("memoryStorage()", () => {
  const storage = memoryStorage();
  return { reopen: () => storage, remove: () => Promise.resolve() };
});
