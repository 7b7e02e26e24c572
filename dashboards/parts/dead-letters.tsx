/** Messages that were set aside: looked at, mended, and sent again in their device's name. */
import { useState } from 'preact/hooks'
import type { DeadLetterDetail, DeadLetterView } from '../../contract/api.ts'
import { errorText } from '../../contract/error-text.ts'
import { post, useLive } from '../live.ts'
import { t } from '../texts/texts.ts'
import { formatCount } from './format.ts'
import { Table } from './table.tsx'
import { Time } from './time.tsx'

export function DeadLetters() {
  const { data, problem, refresh } = useLive<{ deadLetters: DeadLetterView[] }>('dead-letters', 3_000)
  const [inspected, setInspected] = useState<string | undefined>(undefined)
  if (!data) return <p class="none">{problem ?? t('loading')}</p>
  if (data.deadLetters.length === 0) return <p class="none">{t('none')}</p>
  return (
    <>
      <Table
        label={t('setAside')}
        head={[t('arrived'), t('device'), t('reason'), t('detail'), t('beginsWith'), '']}
        rows={data.deadLetters.map((letter) => [
          <Time key="time" ms={Date.parse(letter.arrivedAt)} />,
          letter.deviceId,
          letter.reason,
          letter.detail,
          <span key="preview">
            <code>{letter.preview.slice(0, 80)}</code> ({t('bytes', { count: formatCount(letter.bodyLength) })})
          </span>,
          letter.replayedAt === null ? (
            <button key="inspect" type="button" onClick={() => setInspected(letter.id)}>
              {t('inspect')}
            </button>
          ) : (
            t('sentAgainAt')
          ),
        ])}
      />
      {inspected !== undefined && (
        <Inspected
          key={inspected}
          id={inspected}
          onClose={() => {
            setInspected(undefined)
            refresh()
          }}
        />
      )}
    </>
  )
}

function Inspected({ id, onClose }: { id: string; onClose: () => void }) {
  const { data, problem } = useLive<DeadLetterDetail>(`dead-letters/${id}`, 3_600_000)
  const [failure, setFailure] = useState('')
  if (!data) return <p class="none">{problem ?? t('loading')}</p>
  const isText = data.encoding === 'utf8'
  return (
    <form
      class="panel inspected"
      onSubmit={(event) => {
        event.preventDefault()
        const values = new FormData(event.currentTarget)
        const body = isText ? { body: String(values.get('body')), contentType: String(values.get('contentType')) } : {}
        post(`dead-letters/${id}/replay`, body).then(onClose, (error: unknown) => setFailure(errorText(error)))
      }}
    >
      <h3>
        {data.deviceId}: {data.reason}
      </h3>
      <p class="none">{data.detail}</p>
      <label>
        {t('body')}
        <textarea name="body" rows={8} readOnly={!isText} defaultValue={data.body} spellcheck={false} />
      </label>
      <label>
        {t('contentType')}
        <input name="contentType" defaultValue={data.contentType === '' ? 'application/json' : data.contentType} readOnly={!isText} />
      </label>
      <p class="buttons">
        <button type="submit" class="main">
          {t('mendAndSend')}
        </button>
        <button type="button" onClick={onClose}>
          {t('close')}
        </button>
      </p>
      {failure !== '' && (
        <p class="problem" role="alert">
          {failure}
        </p>
      )}
    </form>
  )
}
