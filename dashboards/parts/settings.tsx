/** What a person may choose for this page, and who they are. */
import { useEffect, useRef } from 'preact/hooks'
import type { Health } from '../../contract/api.ts'
import { prefer, preferences } from '../preferences.ts'
import { t } from '../texts/texts.ts'

const zones = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')]

export function Settings({ user }: { user: Health['user'] }) {
  const { language, timeZone, hasSound, hasShortcuts } = preferences()
  const details = useRef<HTMLDetailsElement>(null)
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const isWriting = event.target instanceof Element && event.target.closest('input, textarea, select, dialog')
      if (event.key === 'Escape') details.current?.removeAttribute('open')
      if (event.key === '?' && !isWriting && preferences().hasShortcuts) details.current?.toggleAttribute('open')
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
  return (
    <details class="settings" ref={details}>
      <summary>{t('settings')}</summary>
      <div class="panel">
        {user && <p>{t('signedInAs', { name: user.name, role: user.role })}</p>}
        <label>
          {t('language')}
          <select value={language} onChange={(event) => prefer({ language: event.currentTarget.value === 'de' ? 'de' : 'en' })}>
            <option value="en">English</option>
            <option value="de">Deutsch</option>
          </select>
        </label>
        <label>
          {t('timeZone')}
          <select value={timeZone} onChange={(event) => prefer({ timeZone: event.currentTarget.value })}>
            <option value="">{t('zoneOfBrowser')}</option>
            {zones.map((zone) => (
              <option key={zone}>{zone}</option>
            ))}
          </select>
        </label>
        <label class="check">
          <input type="checkbox" checked={hasSound} onChange={(event) => prefer({ hasSound: event.currentTarget.checked })} />
          {t('sound')}
        </label>
        <label class="check">
          <input type="checkbox" checked={hasShortcuts} onChange={(event) => prefer({ hasShortcuts: event.currentTarget.checked })} />
          {t('shortcuts')}
        </label>
        <p class="none">{t('shortcutsHelp')}</p>
      </div>
    </details>
  )
}
