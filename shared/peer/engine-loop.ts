import type { Ask, Question, Reply } from '../ask.ts';
import type { Clock, Now } from '../clock.ts';
import type { Identity, VerifySignature } from '../crypto/identity.ts';
import { toChorusError } from '../errors.ts';

interface Engine<Event, Effect> {
  handle(event: Event, now: Now): (Effect | Ask<Effect>)[];
  readonly deadlineMs: number;
}

export interface EngineLoopDeps<Event, Effect> {
  readonly clock: Clock;
  /** The key that signs what the engine asks for. */
  readonly identity: Pick<Identity, 'sign'>;
  readonly verify: VerifySignature;
  /** Tells the engine that its deadline has come. */
  readonly timeEvent: Event;
  readonly perform: (effect: Effect) => void;
  /** Called whenever the engine has handled all there is. */
  readonly onHandled?: () => void;
}

/** Feeds an engine: one event after the other, its effects performed in order, its questions answered, and a timer at its deadline. */
export class EngineLoop<Event, Effect extends { readonly type: string }> {
  readonly #engine: Engine<Event, Effect>;
  readonly #deps: EngineLoopDeps<Event, Effect>;
  readonly #steps: ((now: Now) => (Effect | Ask<Effect>)[])[] = [];
  /** Asked and not answered, by number. */
  readonly #asked = new Map<number, Ask<Effect>['then']>();
  #lastAsked = 0;
  #isRunning = false;
  #isStopped = false;
  #stopTimer: () => void = () => undefined;

  constructor(engine: Engine<Event, Effect>, deps: EngineLoopDeps<Event, Effect>) {
    this.#engine = engine;
    this.#deps = deps;
  }

  /** Handles `event` now, or after those that are being handled. */
  dispatch(event: Event): void {
    this.#run((now) => this.#engine.handle(event, now));
  }

  /** Takes no more events, and hears no more answers. */
  stop(): void {
    this.#isStopped = true;
    this.#asked.clear();
    this.#stopTimer();
  }

  #run(step: (now: Now) => (Effect | Ask<Effect>)[]): void {
    if (this.#isStopped) return;
    this.#steps.push(step);
    if (this.#isRunning) return;
    this.#isRunning = true;
    const { clock } = this.#deps;
    try {
      for (let next = this.#steps.shift(); next !== undefined; next = this.#steps.shift()) {
        for (const effect of next({ nowMs: clock.nowMs(), wallMs: clock.wallMs() })) this.#perform(effect);
      }
    } finally {
      this.#isRunning = false;
    }
    this.#setTimer();
    this.#deps.onHandled?.();
  }

  #perform(effect: Effect | Ask<Effect>): void {
    if (isAsk(effect)) this.#ask(effect);
    else this.#deps.perform(effect);
  }

  #ask({ what, then }: Ask<Effect>): void {
    const number = ++this.#lastAsked;
    this.#asked.set(number, then);
    this.#find(what).then(
      (reply) => this.#answer(number, reply),
      (error: unknown) => this.#answer(number, toChorusError(error)),
    );
  }

  #find(what: Question): Promise<Reply> {
    const { identity, verify } = this.#deps;
    return what.type === 'sign' ? identity.sign(what.bytes) : verify(what.publicKey, what.bytes, what.signature);
  }

  #answer(number: number, reply: Reply): void {
    const then = this.#asked.get(number);
    this.#asked.delete(number);
    if (then !== undefined) this.#run((now) => then(reply, now));
  }

  #setTimer(): void {
    this.#stopTimer();
    this.#stopTimer = () => undefined;
    const { clock, timeEvent } = this.#deps;
    const { deadlineMs } = this.#engine;
    if (this.#isStopped || deadlineMs === Infinity) return;
    const delayMs = Math.max(0, deadlineMs - clock.nowMs());
    this.#stopTimer = clock.setTimer(() => this.dispatch(timeEvent), delayMs);
  }
}

function isAsk<Effect extends { readonly type: string }>(effect: Effect | Ask<Effect>): effect is Ask<Effect> {
  return effect.type === 'ask';
}
