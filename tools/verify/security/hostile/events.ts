/** The events between nodes that are attacked, those that attack, and those that do neither. */
export interface Events {
  /** Gives back what it is given. */
  echo(value: unknown): unknown;
  /** Is counted, by sender. */
  count(number: number): void;
  /** Is long. */
  blob(bytes: Uint8Array): void;
  /** Its handler throws. */
  throws(): void;
  /** Its handler rejects. */
  rejects(): void;
  /** Its handler never ends. */
  hangs(): void;
}
