import type { Question, Reply } from '../../ask.ts';
import { RecordSalt } from '../feed/record-salt.ts';
import type { RequesterSession } from '../feed/requester-session.ts';
import type { RequesterConfig } from '../requester-event.ts';
import type { CheckHost } from './session-check.ts';
import type { SessionOut } from './session-news.ts';

/** The parts that a session lends its machines; their effects, questions and news come to `push`, in order. */
export interface LiveParts {
  readonly config: RequesterConfig;
  readonly session: RequesterSession;
  readonly nowMs: () => number;
  readonly push: (out: SessionOut) => void;
  readonly nextTicket: () => number;
}

export function liveHost({ config, session, nowMs, push, nextTicket }: LiveParts): CheckHost {
  const ask = (what: Question, then: (reply: Reply) => void): void => push({ type: 'ask', what, then });
  return {
    config,
    session,
    recordSalt: new RecordSalt(config.random),
    get nowMs() {
      return nowMs();
    },
    perform: push,
    tell: push,
    sign: (bytes, then) => ask({ type: 'sign', bytes }, (reply) => reply instanceof Uint8Array && then(reply)),
    verify: (signed, then) => ask({ type: 'verify', ...signed }, (reply) => then(reply === true)),
    nextTicket,
  };
}
