import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { MAX_REASON_CHARACTERS } from '#shared/limits.ts';
import type { PeerKind } from '#shared/wire/peer-kind.ts';
import type { DrawDesk } from '../draw/draw-desk.ts';
import type { DeskMessage, DesksEnd, FromPeer, PeerAddress } from '../peer-router/control-router.ts';
import type { AdmissionDesk } from '../admission/admission-desk.ts';
import type { Member, Registry } from '../placement/registry.ts';
import type { ClaimDesk } from './claim-desk.ts';
import type { ReplayDesk } from './replay-desk.ts';
import type { ReportDesk } from './report-desk.ts';
import type { RouteDesk } from './route-desk.ts';
import type { VolunteerDesk } from './volunteer-desk.ts';

export interface FrontDeskDeps {
  readonly send: DesksEnd['send'];
  readonly registry: Registry;
  readonly admission: Pick<AdmissionDesk, 'lets' | 'receive' | 'left'>;
  readonly volunteers: Pick<VolunteerDesk, 'receive' | 'left'>;
  readonly routes: Pick<RouteDesk, 'receive' | 'left'>;
  /** Null where there is no log; what is said of draws is not answered then. */
  readonly draws: Pick<DrawDesk, 'receive'> | null;
  readonly replays: Pick<ReplayDesk, 'receive'>;
  readonly reports: Pick<ReportDesk, 'receive'>;
  readonly claims: Pick<ClaimDesk, 'receive'>;
  /** True for the keys of the server's own anchors and gateway. */
  readonly isOwn: (id: PeerId) => boolean;
  /** A peer's page or program stood still for so long that it counts as gone. */
  readonly onSilent: (id: PeerId) => void;
  /** A peer has offered itself as a volunteer, for the first time on this connection. */
  readonly onVolunteer: (id: PeerId, kind: PeerKind) => void;
  /** A fault of ours while a message was handled. */
  readonly onError: (error: unknown) => void;
}

/** Takes what the router brings: keeps the roll of who is here, and hands each message to the desk that answers it. */
export class FrontDesk {
  readonly #deps: FrontDeskDeps;
  readonly #volunteers = new WeakSet<Member>();

  constructor(deps: FrontDeskDeps) {
    this.#deps = deps;
  }

  /** A peer whose message makes a desk fail is told so and loses its connection; the others lose nothing. */
  receive(from: PeerAddress, message: FromPeer): void {
    try {
      this.#take(from, message);
    } catch (thrown) {
      if (!(thrown instanceof ChorusError)) this.#deps.onError(thrown);
      const { code, message: reason } = toChorusError(thrown);
      const told = code === 'internal' ? 'the server failed on this message' : reason.slice(0, MAX_REASON_CHARACTERS);
      this.#deps.send(from, { type: 'error', code, message: told });
    }
  }

  #take({ id, connection }: PeerAddress, message: FromPeer): void {
    const { registry } = this.#deps;
    const member = registry.get(id);
    if (message.type === 'joined') {
      if (member !== undefined) this.#leave(member);
      registry.join(id, this.#kindOf(id, message.kind), message.prefix, connection, message.client ?? id);
    } else if (member?.connection !== connection) return;
    else if (message.type === 'left') {
      if (message.silent) this.#deps.onSilent(id);
      this.#leave(member);
    } else this.#handOn(member, message);
  }

  #handOn(member: Member, message: DeskMessage): void {
    const { admission, routes, draws, replays, reports, claims, volunteers, onVolunteer } = this.#deps;
    switch (message.type) {
      case 'route':
      case 'abandon':
      case 'release':
      case 'rest':
      case 'resume':
      case 'opened':
      case 'closed':
        routes.receive(member, message);
        return;
      case 'look':
        if (draws === null) this.#deps.send(member, { type: 'checkpoint', note: null });
        else draws.receive(member, message);
        return;
      case 'state':
        draws?.receive(member, message);
        return;
      case 'replay':
        replays.receive(member, message);
        return;
      case 'report':
        reports.receive(member, message);
        return;
      case 'claims':
        claims.receive(member, message);
        return;
      case 'worked':
        admission.receive(member, message);
        return;
      case 'offer':
        if (!admission.lets(member, message)) return;
        if (!this.#volunteers.has(member)) onVolunteer(member.id, member.kind);
        this.#volunteers.add(member);
        volunteers.receive(member, message);
        return;
      default:
        if (admission.lets(member, message)) volunteers.receive(member, message);
    }
  }

  /** Anybody can say that it is an anchor; only the keys that we made are. */
  #kindOf(id: PeerId, kind: PeerKind): PeerKind {
    return (kind === 'anchor' || kind === 'gateway') && !this.#deps.isOwn(id) ? 'cli' : kind;
  }

  #leave(member: Member): void {
    const { id } = member;
    this.#deps.admission.left(member);
    this.#deps.registry.leave(id);
    this.#deps.routes.left(id);
    this.#deps.volunteers.left();
  }
}
