/** Microsoft Teams by a Workflows webhook: an Adaptive Card. Its address is a secret. */
import { requireSuccess } from './channel.ts'
import type { Channel, Notice } from './channel.ts'
import { guardedPost } from './guarded-post.ts'
import type { GuardOptions } from './guarded-post.ts'

export function teamsChannel(url: string, guard: GuardOptions): Channel {
  return {
    name: 'teams',
    async deliver(notice) {
      const { status, text } = await guardedPost(url, { 'content-type': 'application/json' }, JSON.stringify(teamsMessage(notice)), guard)
      requireSuccess('Teams', status, text)
      return {}
    },
  }
}

const colours = { critical: 'Attention', high: 'Attention', medium: 'Warning', low: 'Default' } as const

export function teamsMessage({ alert, subject, text, pageUrl, acknowledgeUrl }: Notice) {
  const action = (title: string, url: string) => ({ type: 'Action.OpenUrl', title, url })
  return {
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        content: {
          $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
          type: 'AdaptiveCard',
          version: '1.4',
          body: [
            { type: 'TextBlock', size: 'Medium', weight: 'Bolder', wrap: true, color: colours[alert.priority], text: plain(subject) },
            { type: 'TextBlock', wrap: true, text: plain(text) },
          ],
          actions: [action('Open', pageUrl), ...(acknowledgeUrl === undefined ? [] : [action('Acknowledge', acknowledgeUrl)])],
        },
      },
    ],
  }
}

/** Cards read Markdown: what a device is called must not become a link. */
function plain(text: string): string {
  return text.replace(/[\\`*_[\]()<>#]/g, (character) => `\\${character}`)
}
