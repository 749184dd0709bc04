/**
 * A small stand-in for `jsr:@std/log`, which has no npm build: true to the real
 * package's API for what this project uses. Published packages depend on the
 * real one.
 *
 * @module
 */

/** The levels, by name, with the numbers of the real package. */
export const LogLevels = {
  NOTSET: 0,
  DEBUG: 10,
  INFO: 20,
  WARN: 30,
  ERROR: 40,
  CRITICAL: 50,
} as const;

/** The name of a level. */
export type LevelName = keyof typeof LogLevels;
/** The number of a level. */
export type LogLevel = typeof LogLevels[LevelName];

const names = new Map<number, LevelName>();
for (const name of Object.keys(LogLevels)) {
  if (isLevelName(name)) names.set(LogLevels[name], name);
}

function isLevelName(name: string): name is LevelName {
  return name in LogLevels;
}

/** One record on its way to the handlers. */
export interface LogRecord {
  readonly msg: string;
  readonly args: readonly unknown[];
  readonly datetime: Date;
  readonly level: number;
  readonly levelName: string;
  readonly loggerName: string;
}

/** Turns a record into a line. */
export type FormatterFunction = (record: LogRecord) => string;

/** Options of a handler. */
export interface BaseHandlerOptions {
  formatter?: FormatterFunction;
}

/** Takes the records at or above its level. */
export abstract class BaseHandler {
  #level: LogLevel;
  #format: FormatterFunction;

  constructor(levelName: LevelName, options: BaseHandlerOptions = {}) {
    this.#level = LogLevels[levelName];
    this.#format = options.formatter ??
      (({ levelName, msg }) => `${levelName} ${msg}`);
  }

  handle(record: LogRecord): void {
    if (record.level < this.#level) return;
    this.log(this.format(record));
  }

  format(record: LogRecord): string {
    return this.#format(record);
  }

  abstract log(message: string): void;
  setup(): void {}
  destroy(): void {}
}

/** Options of {@linkcode ConsoleHandler}. */
export interface ConsoleHandlerOptions extends BaseHandlerOptions {
  useColors?: boolean;
}

/** The colour of each level, as a parameter of the terminal's SGR sequence. */
const colors: ReadonlyMap<number, number> = new Map([
  [LogLevels.INFO, 34],
  [LogLevels.WARN, 33],
  [LogLevels.ERROR, 31],
  [LogLevels.CRITICAL, 31],
]);

/** Writes to the console. */
export class ConsoleHandler extends BaseHandler {
  #useColors: boolean;

  constructor(levelName: LevelName, options: ConsoleHandlerOptions = {}) {
    super(levelName, options);
    this.#useColors = (options.useColors ?? true) && !Deno.noColor;
  }

  override format(record: LogRecord): string {
    const line = super.format(record);
    const color = this.#useColors ? colors.get(record.level) : undefined;
    return color === undefined ? line : `\x1b[${color}m${line}\x1b[39m`;
  }

  log(message: string): void {
    // deno-lint-ignore no-console -- the purpose of this class
    console.log(message);
  }
}

/** Sends what is at or above its level to its handlers. */
export class Logger {
  readonly loggerName: string;
  levelName: LevelName;
  handlers: BaseHandler[];

  constructor(
    loggerName: string,
    levelName: LevelName,
    options: { handlers?: BaseHandler[] } = {},
  ) {
    this.loggerName = loggerName;
    this.levelName = levelName;
    this.handlers = options.handlers ?? [];
  }

  get level(): LogLevel {
    return LogLevels[this.levelName];
  }

  debug(msg: string, ...args: unknown[]): string {
    return this.#log(LogLevels.DEBUG, msg, args);
  }

  info(msg: string, ...args: unknown[]): string {
    return this.#log(LogLevels.INFO, msg, args);
  }

  warn(msg: string, ...args: unknown[]): string {
    return this.#log(LogLevels.WARN, msg, args);
  }

  error(msg: string, ...args: unknown[]): string {
    return this.#log(LogLevels.ERROR, msg, args);
  }

  critical(msg: string, ...args: unknown[]): string {
    return this.#log(LogLevels.CRITICAL, msg, args);
  }

  #log(level: LogLevel, msg: string, args: readonly unknown[]): string {
    if (level < this.level) return msg;
    const record: LogRecord = {
      msg,
      args,
      datetime: new Date(),
      level,
      levelName: names.get(level) ?? "NOTSET",
      loggerName: this.loggerName,
    };
    for (const handler of this.handlers) handler.handle(record);
    return msg;
  }
}

/** Handlers by name, and loggers by name that use them. */
export interface LogConfig {
  handlers?: Record<string, BaseHandler>;
  loggers?: Record<string, { level?: LevelName; handlers?: string[] }>;
}

const loggers = new Map<string, Logger>();
let active: BaseHandler[] = [];
setup({});

/** Replaces the handlers and loggers of the program. */
export function setup(config: LogConfig): void {
  for (const handler of active) handler.destroy();
  const handlers: Record<string, BaseHandler> = {
    default: new ConsoleHandler("INFO"),
    ...config.handlers,
  };
  active = Object.values(handlers);
  for (const handler of active) handler.setup();
  loggers.clear();
  const wanted = {
    default: { level: "INFO", handlers: ["default"] },
    ...config.loggers,
  } as const;
  for (const [name, { level, handlers: used }] of Object.entries(wanted)) {
    const own = (used ?? []).flatMap((key) => handlers[key] ?? []);
    loggers.set(name, new Logger(name, level ?? "INFO", { handlers: own }));
  }
}

/** The logger of that name; one that was not set up has no handlers, as in the real package. */
export function getLogger(name = "default"): Logger {
  let logger = loggers.get(name);
  if (!logger) {
    logger = new Logger(name, "NOTSET", { handlers: [] });
    loggers.set(name, logger);
  }
  return logger;
}
