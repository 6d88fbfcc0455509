import type { LucideIcon } from '@lucide/svelte';
import HeartHandshake from '@lucide/svelte/icons/heart-handshake';
import MessageCircle from '@lucide/svelte/icons/message-circle';
import ReceiptText from '@lucide/svelte/icons/receipt-text';
import ShieldCheck from '@lucide/svelte/icons/shield-check';
import Waypoints from '@lucide/svelte/icons/waypoints';
import type { RouteDefinition, RouteDetail } from 'svelte-spa-router';
import { digestSchema, shortId } from '#shared/ids.ts';
import type { PageState } from '../state/page-context.ts';
import Ask from './Ask.svelte';
import Log from './Log.svelte';
import Model from './Model.svelte';
import Network from './Network.svelte';
import Receipt from './Receipt.svelte';
import Receipts from './Receipts.svelte';
import Verify from './Verify.svelte';
import Volunteer from './Volunteer.svelte';

type RoutedComponent = Exclude<RouteDefinition, ReadonlyMap<unknown, unknown>>[string];

/** One view of the page. Its component shows one `h1`, which gets the focus when the view is gone to. */
export interface View {
  /** Its address after `#`; `:name` stands for a part that varies. */
  readonly path: `/${string}`;
  /** Another address that shows it, such as that of one of many things in it. */
  readonly also?: `/${string}`;
  /** As the navigation and the window's title have it. */
  readonly name: string;
  /** A more telling title, such as that of the one thing it shows. */
  readonly title?: (page: PageState, params: RouteDetail['params']) => string;
  readonly component: RoutedComponent;
  /** True where it takes part in the network, for which it needs a key. */
  readonly needsKey?: true;
  /** Its sign in the navigation, or the path of the view there that it belongs to. */
  readonly place: { readonly icon: LucideIcon } | { readonly under: `/${string}` };
}

/** The views in the order of the navigation. An address that is none of theirs shows the first. */
export const VIEWS: readonly [View, ...View[]] = [
  {
    path: '/',
    also: '/chats/:id',
    name: 'Ask',
    title: ({ conversation }) => conversation.title || 'Ask',
    component: Ask,
    needsKey: true,
    place: { icon: MessageCircle },
  },
  { path: '/volunteer', name: 'Volunteer', component: Volunteer, needsKey: true, place: { icon: HeartHandshake } },
  { path: '/network', name: 'Network', component: Network, place: { icon: Waypoints } },
  {
    path: '/models/:digest',
    name: 'Model',
    title: ({ model }) => model.model?.manifest.name ?? 'Model',
    component: Model,
    place: { under: '/network' },
  },
  { path: '/receipts', name: 'Receipts', component: Receipts, place: { icon: ReceiptText } },
  {
    path: '/receipts/:id',
    name: 'Receipt',
    title: (_page, params) => {
      const id = digestSchema.safeParse(params?.['id']).data;
      return id === undefined ? 'Receipt' : `Receipt ${shortId(id)}`;
    },
    component: Receipt,
    place: { under: '/receipts' },
  },
  { path: '/log', name: 'The log', component: Log, place: { under: '/receipts' } },
  { path: '/verify', name: 'Verify', component: Verify, place: { icon: ShieldCheck } },
];

/** The part of the navigation that is marked while a view is shown. */
export function navigationPath({ path, place }: View): string {
  return 'under' in place ? place.under : path;
}
