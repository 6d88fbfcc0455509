import Anchor from '@lucide/svelte/icons/anchor';
import DoorOpen from '@lucide/svelte/icons/door-open';
import Globe from '@lucide/svelte/icons/globe';
import Terminal from '@lucide/svelte/icons/terminal';
import type { PeerId } from '#shared/ids.ts';
import type { PeerKind } from '#shared/wire/peer-kind.ts';

/** The places a volunteer runs in, in words and as a sign. */
export const VOLUNTEER_KINDS = {
  tab: { name: 'tab', icon: Globe },
  anchor: { name: 'anchor', icon: Anchor },
  cli: { name: 'command line', icon: Terminal },
  gateway: { name: 'gateway', icon: DoorOpen },
} as const satisfies Record<PeerKind, unknown>;

/** The kind of a volunteer; null for one that is not here now. */
export type KindOf = (id: PeerId) => PeerKind | null;
