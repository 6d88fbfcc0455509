import type { Member } from './registry.ts';

/** The network that counts where volunteers are to be of several: of the server's own anchors each is one by itself. */
export function networkOf({ id, prefix }: Pick<Member, 'id' | 'prefix'>, isAnchor: boolean): string {
  return isAnchor ? `anchor ${id}` : prefix;
}
