/** A promise that may be left alone: its rejection is never unhandled. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** A rejected promise that may be left alone. */
export function rejected(error: Error): Promise<never> {
  return handled(Promise.reject(error));
}

/** A promise to settle later, which may be left alone. */
export function handledResolvers(): PromiseWithResolvers<void> {
  const resolvers = Promise.withResolvers<void>();
  handled(resolvers.promise);
  return resolvers;
}
