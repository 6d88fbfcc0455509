import type { Question, Reply, SignedBytes } from '../ask.ts';
import { ChorusError } from '../errors.ts';
import type { PeerMessage } from '../wire/peer-message.ts';
import type { Signing } from './replica-audit.ts';
import type { RecordSigning } from './replica-records.ts';
import type { SessionHost } from './session-host.ts';

/** The session it is for. */
interface Holder {
  isOver(): boolean;
  fail(error: ChorusError): void;
}

/** Signs and verifies for one session of a replica. A key that does no work ends the session; an ended one hears nothing. */
export class SessionKey {
  readonly #host: Pick<SessionHost, 'ask'>;
  readonly #session: Holder;

  constructor(host: Pick<SessionHost, 'ask'>, session: Holder) {
    this.#host = host;
    this.#session = session;
  }

  /** `then` gets the message, unless nobody wants it any more. */
  sign({ bytes, seal }: Signing, then: (message: PeerMessage) => void): void {
    this.#ask({ type: 'sign', bytes }, (signature) => {
      const message = signature instanceof Uint8Array ? seal(signature) : null;
      if (message !== null) then(message);
    });
  }

  /** Signs the first, then what follows from its signature. */
  signBoth({ bytes, then: next }: RecordSigning, then: (message: PeerMessage) => void): void {
    this.#ask({ type: 'sign', bytes }, (signature) => {
      if (signature instanceof Uint8Array) this.sign(next(signature), then);
    });
  }

  verify(signed: SignedBytes, then: (isGood: boolean) => void): void {
    this.#ask({ type: 'verify', ...signed }, (reply) => then(reply === true));
  }

  #ask(what: Question, then: (reply: Reply) => void): void {
    this.#host.ask(what, (reply) => {
      if (this.#session.isOver()) return;
      if (reply instanceof ChorusError) this.#session.fail(reply);
      else then(reply);
    });
  }
}
