/** What alerts are worked with: the store, who is told, and how. Made once a process; closed by whoever made it. */
import type { ListedAlert } from '../store/alert-store.ts'
import type { Announcements } from './announcements.ts'
import type { Tables } from '../store/tables.ts'
import type { Channel } from './channels/channel.ts'
import type { ChannelName, NotificationPolicy } from './notification-policy.ts'

export type AlertDesk = {
  readonly tables: Tables
  readonly policy: NotificationPolicy
  readonly announcements: Announcements
  readonly channels: ReadonlyMap<ChannelName, Channel>
  /** Address of the page, without a slash at its end. */
  readonly publicUrl: string
  /** Signs links in messages. */
  readonly linkSecret: string
  /** 0…1, for pauses that do not fall together. */
  readonly random: () => number
  /** Tells open pages; never throws. */
  readonly publish: (alert: ListedAlert) => void
}
