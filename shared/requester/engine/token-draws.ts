import type { Now } from '../../clock.ts';
import { sampleToken, type Sample } from '../../rows/sampler.ts';
import type { HopTiming } from '../../wire/peer-message.ts';
import type { AnswerEvent } from '../answer-event.ts';
import type { TokenRedraw } from '../audit/span-audit.ts';
import type { Lap } from '../feed/returns.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { SessionOut } from '../session/session-news.ts';
import type { Answer, Closing } from './answer.ts';
import { DrawnAgain } from './drawn-again.ts';

/** What draws are done with. */
export interface DrawsHost {
  now(): Now;
  readonly endTokens: readonly number[];
  emit(event: AnswerEvent): void;
  perform(session: LiveSession, out: readonly SessionOut[]): void;
  /** Cuts the session back to the answer's history, then goes on. */
  align(session: LiveSession): void;
  /** Sends what there is room for. */
  feed(session: LiveSession): void;
  /** Nothing more is fed. */
  close(session: LiveSession, answer: Answer, closing: Closing): void;
}

/** Draws the tokens of an answer from the logits of its laps, and takes those that another replica drew. */
export class TokenDraws {
  readonly #host: DrawsHost;
  readonly #again = new DrawnAgain();

  constructor(host: DrawsHost) {
    this.#host = host;
  }

  /** The session is cut: what it gave for tokens that are to be drawn again is worth nothing. */
  forget(): void {
    this.#again.forget();
  }

  take(session: LiveSession, answer: Answer, lap: Lap, hops: readonly HopTiming[]): void {
    const host = this.#host;
    const { prompt, lapMs } = lap;
    if (prompt !== null) host.emit({ type: 'prompt', ...prompt });
    const candidates = this.#again.take(session, answer, lap);
    const position = answer.history.length;
    if (candidates === 'waiting') return host.feed(session);
    if (candidates === 'differs') {
      const reason = 'other volunteers draw another token';
      host.emit({ type: 'rerouted', reason, volunteer: null, from: position });
      return host.align(session);
    }
    const sample = sampleToken(candidates, answer.sampling, position);
    session.drew(sample.token, position, answer.sampling);
    this.#goOn(session, answer, sample, { lapMs, hops });
  }

  /** Takes another replica's draw in place of the primary's, and back what came after it. */
  redraw(session: LiveSession, answer: Answer, redraw: TokenRedraw): void {
    const { stage, by: volunteer, position: from } = redraw;
    answer.takeBack(from);
    this.#host.emit({ type: 'redrawn', stage, volunteer, from });
    this.#host.perform(session, session.redraw(redraw, answer.sampling, this.#host.now()));
    this.#goOn(session, answer, redraw, null);
  }

  /** Goes on with the token for the end of the history, or ends with it; it came with a lap, or with another's check. */
  #goOn(
    session: LiveSession,
    answer: Answer,
    { token, logprob }: Sample,
    lap: { readonly lapMs: number; readonly hops: readonly HopTiming[] } | null,
  ): void {
    const host = this.#host;
    if (host.endTokens.includes(token)) return host.close(session, answer, 'stop');
    const position = answer.history.length;
    if (lap !== null) session.count(lap.lapMs);
    const whole = answer.push(token);
    host.emit({ type: 'token', token, logprob, position, lapMs: lap?.lapMs ?? 0, hops: lap?.hops ?? [] });
    const closing = whole ?? (session.isEnding(host.now().nowMs) ? 'renew' : null);
    if (closing === null) host.feed(session);
    else host.close(session, answer, closing);
  }
}
