import type { Clock, RandomBytes } from '../../clock.ts';
import type { Envelope } from '../../crypto/envelope.ts';
import type { Identity } from '../../crypto/identity.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { SessionId } from '../../ids.ts';
import { CONNECT_TIMEOUT_MS } from '../../limits.ts';
import { ReplicaEngine } from '../../replica/replica-engine.ts';
import type { ReplicaConfig, ReplicaCounts, ReplicaEffect, ReplicaEvent } from '../../replica/replica-event.ts';
import { openSeat, type Authority } from '../../route/open-signed.ts';
import type { StageCompute } from '../../rows/compute.ts';
import { abortAfter } from '../abort-after.ts';
import { EngineLoop } from '../engine-loop.ts';
import { LinkTable } from '../link/link-table.ts';
import type { Links } from '../link/link.ts';

export interface ReplicaHostDeps {
  readonly identity: Identity;
  readonly config: Pick<ReplicaConfig, 'loaded' | 'slots' | 'backend'>;
  readonly authority: Authority;
  readonly links: Links;
  readonly compute: StageCompute;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Tells the server that a session was opened here, or is over. */
  readonly tell: (message: { readonly type: 'opened' | 'closed'; readonly session: SessionId }) => void;
  /** Called after each event, when counts may have changed. */
  readonly onActivity: () => void;
}

/** Runs the sessions of one loaded stage over real links, compute and time. */
export class ReplicaHost {
  readonly #deps: ReplicaHostDeps;
  readonly #engine: ReplicaEngine;
  readonly #loop: EngineLoop<ReplicaEvent, ReplicaEffect>;
  readonly #links: LinkTable;
  readonly #abort = new AbortController();
  readonly #waitingForEnd = new Set<() => void>();

  constructor(deps: ReplicaHostDeps) {
    this.#deps = deps;
    const { id: self, publicKey } = deps.identity;
    this.#engine = new ReplicaEngine({ ...deps.config, random: deps.random, self, publicKey });
    this.#loop = new EngineLoop<ReplicaEvent, ReplicaEffect>(this.#engine, {
      clock: deps.clock,
      identity: deps.identity,
      verify: deps.authority.verify,
      timeEvent: { type: 'time' },
      perform: (effect) => this.#perform(effect),
      onHandled: () => this.#onHandled(),
    });
    this.#links = new LinkTable(deps.links, {
      onMessage: (from, message) => this.#dispatch({ type: 'message', from, message }),
      onLost: (peer) => this.#dispatch({ type: 'link-lost', peer }),
    });
  }

  get sessionCount(): number {
    return this.#engine.sessionCount;
  }

  get counts(): ReplicaCounts {
    return this.#engine.counts;
  }

  /** Bytes of rows that sessions keep for their checks. */
  get keptBytes(): number {
    return this.#engine.keptBytes;
  }

  set isAccepting(isAccepting: boolean) {
    this.#dispatch({ type: 'accept', isAccepting });
  }

  /** Takes the server's word for a part in a session. One that it did not sign is nobody's word, and changes nothing. */
  seat(envelope: Envelope): void {
    openSeat(envelope, this.#deps.authority).then(
      (seat) => this.#dispatch({ type: 'seat', seat }),
      () => undefined,
    );
  }

  /** The server takes back what nobody has opened. */
  unseat(session: SessionId): void {
    this.#dispatch({ type: 'unseat', session });
  }

  /** Takes no new sessions; resolves when the running ones have ended, `limitMs` have passed or `signal` aborts. */
  drain(limitMs: number, signal: AbortSignal): Promise<void> {
    this.isAccepting = false;
    return new Promise((resolve) => {
      const done = (): void => {
        stopTimer();
        signal.removeEventListener('abort', done);
        this.#waitingForEnd.delete(done);
        resolve();
      };
      const stopTimer = this.#deps.clock.setTimer(done, limitMs);
      signal.addEventListener('abort', done);
      this.#waitingForEnd.add(done);
      if (signal.aborted || this.sessionCount === 0) done();
    });
  }

  /** Ends every session with this fault, and all work. */
  stop(error: ChorusError): void {
    this.#dispatch({ type: 'stop', error });
    this.#loop.stop();
    this.#links.close();
    this.#abort.abort();
  }

  #dispatch(event: ReplicaEvent): void {
    this.#loop.dispatch(event);
  }

  #onHandled(): void {
    if (this.sessionCount === 0) for (const done of [...this.#waitingForEnd]) done();
    this.#deps.onActivity();
  }

  #perform(effect: ReplicaEffect): void {
    const { compute } = this.#deps;
    switch (effect.type) {
      case 'send':
        return this.#links.send(effect.to, effect.message);
      case 'send-counted': {
        const { session, to, message, bytes } = effect;
        return this.#links.send(to, message, () => this.#dispatch({ type: 'sent', session, peer: to, bytes }));
      }
      case 'connect':
        return this.#connect(effect);
      case 'open':
        this.#deps.tell({ type: 'opened', session: effect.session });
        return this.#settle(effect.session, compute.open(effect.session, effect.capacity), () => ({
          type: 'opened',
          session: effect.session,
        }));
      case 'run':
        return this.#settle(effect.session, compute.run(effect), (result) => ({
          type: 'ran',
          session: effect.session,
          result,
        }));
      case 'cut':
        return this.#settle(effect.session, compute.cut(effect.session, effect.position), () => ({
          type: 'cut-done',
          session: effect.session,
        }));
      case 'close':
        this.#deps.tell({ type: 'closed', session: effect.session });
        // Nothing waits for it, and a compute that cannot close has lost the session already.
        compute.close(effect.session).catch(() => undefined);
    }
  }

  #connect({ session, peer, webrtc }: Extract<ReplicaEffect, { type: 'connect' }>): void {
    const timeout = new ChorusError('timeout', 'the next peer cannot be reached');
    const limit = abortAfter(this.#deps.clock, CONNECT_TIMEOUT_MS, timeout, this.#abort.signal);
    this.#links.connect(peer, webrtc, limit.signal).then(
      (transport) => {
        limit.clear();
        this.#dispatch({ type: 'connected', session, peer, transport });
      },
      (error: unknown) => {
        limit.clear();
        this.#dispatch({ type: 'connect-failed', session, peer, error: toChorusError(error, 'link-lost') });
      },
    );
  }

  #settle<Value>(session: SessionId, promise: Promise<Value>, done: (value: Value) => ReplicaEvent): void {
    promise.then(
      (value) => this.#dispatch(done(value)),
      (error: unknown) => this.#dispatch({ type: 'failed', session, error: toChorusError(error) }),
    );
  }
}
