"""What captions call the things that nobody says, in some forty languages: tables, each for one question.

A stem matches the start of a word (`applau`: applause, applaudit); in scripts that part no words by spaces,
or that put articles and prepositions in front, it matches anywhere. A stem followed by `$` ends its word.
No table is complete. Where one lacks a word, the rules that use it keep the words or drop the cue as lost
speech; they never delete what may have been said.
"""

# ruff: noqa: RUF001 - letters of other scripts that look like Latin ones are what these tables are for

from __future__ import annotations

import regex  # type: ignore[import-untyped]  # the package ships no types

_SEARCHED_ANYWHERE = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Hangul}\p{Arabic}\p{Hebrew}\p{Devanagari}\p{Bengali}\p{Tamil}]"
)
_WORD = regex.compile(r"(?<![\p{L}\p{M}])\p{L}[\p{L}\p{M}]*+")


def _list_words(table: str) -> frozenset[str]:
    return frozenset(word.strip() for word in regex.split(r"[|\n]", table) if word.strip())


class Stems:
    """The stems of one table.

    Args:
        table: Stems, parted by `|` or by the end of a line.
    """

    def __init__(self, table: str) -> None:
        stems = _list_words(table)
        anywhere = [stem for stem in stems if _SEARCHED_ANYWHERE.match(stem)]
        at_start = [stem for stem in stems if not _SEARCHED_ANYWHERE.match(stem)]
        self._words = {stem.removesuffix("$") for stem in at_start if stem.endswith("$")}
        self._starts = tuple(stem for stem in at_start if not stem.endswith("$"))
        self._ends = tuple(stem.removesuffix("$") for stem in anywhere if stem.endswith("$"))
        self._parts = tuple(stem for stem in anywhere if not stem.endswith("$"))
        self._longest_first = sorted((*self._starts, *self._parts), key=len, reverse=True)

    def occur_in(self, text: str) -> bool:
        """Tell whether a word of the text begins with one of the stems."""
        lowered = text.lower()
        for word in _WORD.finditer(lowered):
            if word[0] in self._words or lowered.startswith(self._starts, word.start()):
                return True
        if lowered.isascii():
            return False
        return any(part in lowered for part in self._parts) or any(
            word[0].endswith(self._ends) for word in _WORD.finditer(lowered)
        )

    def length_at_start(self, text: str) -> int:
        """Return how many characters of the text's beginning are one of the stems; 0 where none is."""
        lowered = text.lower()
        return next((len(stem) for stem in self._longest_first if lowered.startswith(stem)), 0)


LOST_SPEECH = Stems(
    """
    inaudible | unintelligib | indistinct | unclear | incomprehensib | undecipherabl | indeciph | garbled
    muffled | mumbl | gibberish | crosstalk | cross-talk | cross talk | overlapping | over-talk
    simultaneous | speaking over | talking over | foreign | non-english | other language | another language
    untranslated | not translated | untranscri | censor | bleep | expletive | profanity | redacted
    audio cut | audio drop | audio gap | audio lost | audio miss | no audio | no sound | sound cut
    word missing | sounds like | conversat | chatter | murmur | language | unverständl | unverstaendl
    undeutl | unhörbar | unklar | nicht verständl | nicht zu verstehen | fremdsprach | durcheinander
    zensiert | piepton | gemurmel | stimmengewirr | onverstaanbaar | onduidelijk | niet te verstaan
    vreemde taal | gecensureerd | door elkaar | ohörbar | otydlig | ohörd | främmande språk | utländska
    uhørlig | uhørbart | utydelig | utydlig | fremmed | uforståeli | sensurert | censurerad | censureret
    epäselv | käsittämät | vieras kiel | vierasta kiel | vieraalla kiel | sensuroitu | óskýr | ógreinileg
    ei kuulu | incompréhensib | inintelligib | inaudível | inaudivel | langue étrangère | langue inconnue
    propos inaud | brouhaha | censuré | ininteligib | incomprensib | no se entiende | no se escucha
    inaudibles | indistint | lengua extranjera | idioma extranjero | otro idioma | censurad | confus
    incompreens | ininteligív | imperceptív | indistin | língua estrangeira | idioma estrangeiro
    outro idioma | vozes sobrepostas | incomprensibil | inudibil | lingua straniera | sovrappost
    non udibile | censurat | inintel·ligible | incomprensible | llengua estrangera | neinteligibil
    inaudibil | neclar | limbă străină | limba străină | cenzurat | niezrozumia | niewyraź | nieczytel
    niesłyszal | obcy język | obcym język | w obcym | ocenzurowan | mówią jednocześnie | nesrozumiteln
    neslyšiteln | nezřeteln | cizí jazyk | cizím jazyk | cizí řeč | cenzurován | nezrozumiteľ | nepočuteľ
    nezreteľ | cudzí jazyk | cudzom jazyk | nerazumljiv | nečujn | nejasn | nerazločn | strani jezik
    stranom jezik | tujem jezik | cenzurisan | неразборчив | невнятн | неслышн | нераз | неясно | неясн
    не слышно | непонятн | иностранн | чужой язык | на чужом | вырезано | цензур | нецензурн
    говорят одновременно | запикано | нерозбірлив | невиразн | нечутн | незрозуміл | іноземн | чужою мовою
    нецензур | неразбираем | неясен | не се чува | неразборливо | чужд език | неразумљив | нечујн
    страни језик | neaišk | negirdim | nesuprant | užsienio kalb | nesaprotam | neskaidr | nedzirdam
    svešvalod | érthetetlen | nem érthető | nem hallható | kivehetetlen | idegen nyelv | cenzúráz
    arusaamat | kuuldamat | ebaselg | võõrkeel | ακατάληπτ | ακατανόητ | δεν ακούγεται | ασαφ | δυσνόητ
    ξένη γλώσσα | ξένα | λογοκρι | anlaşılm | anlaşılamay | duyulm | duyulam | belirsiz | yabancı dil
    yabancı bir dil | başka dil | sansür | bip$ | e paqartë | e padëgjue | გაუგებ | անհասկանալի | غير مسموع
    غير مفهوم | غير واضح | كلام غير | لغة أجنبية | بلغة أجنبية | لغة أخرى | بلغة أخرى | تشويش | محجوب
    كلام متداخل | نامفهوم | نامشخص | ناواضح | غیرقابل | غیر قابل | شنیده نمی | زبان خارجی | به زبان | سانسور
    لا يسمع | ناقابل | غیر واضح | سنائی نہیں | לא ברור | לא נשמע | לא מובן | בלתי מובן | שפה זרה | שפה אחרת
    מצונזר | מדברים יחד | अस्पष्ट | अश्रव्य | सुनाई नहीं | समझ में नहीं | विदेशी भाषा | अन्य भाषा | সেন্সর
    অস্পষ্ট | শোনা যায়নি | বিদেশি ভাষা | தெளிவற்ற | கேட்கவில்லை | ฟังไม่ชัด | ไม่ชัดเจน | ไม่ได้ยิน
    ฟังไม่ออก | ภาษาต่างประเทศ | ภาษาอื่น | เซ็นเซอร์ | không nghe rõ | không rõ | nghe không
    tiếng nước ngoài | ngoại ngữ | khó nghe | kiểm duyệt | tidak jelas | tidak terdengar | tak terdengar
    tidak dapat di | bahasa asing | bahasa lain | kurang jelas | disensor | hindi marinig | hindi malinaw
    haisikiki | haieleweki | lugha ya kigeni | 听不清 | 聽不清 | 听不见 | 聽不見 | 不清楚 | 不清晰
    模糊不清 | 含糊 | 无法辨认 | 無法辨認 | 无法听 | 無法聽 | 外语 | 外語 | 外国语 | 外國語 | 消音 | 屏蔽
    和谐 | 七嘴八舌 | 众人交谈 | 聞き取れ | 聞取れ | 聞き取り不能 | 不明瞭 | 聴取不能 | 判別不能 | 外国語
    別の言語 | ピー音 | 規制音 | 伏せ字 | 自主規制 | 들리지 않 | 안 들림 | 안들림 | 불명확 | 알아들을 수 없
    불분명 | 청취 불가 | 청취불가 | 식별 불가 | 외국어 | 외국말 | 삐 소리 | 삐- | 묵음 | 동시에 말
    words missing | missing word | audio missing
    """
)
"""What a transcriber writes in brackets where words were said that are not written down."""

SPEAKING = Stems(
    """
    speak | talking in | talks in | says in | singing in | sings in | shouting in | praying in
    conversing in | chanting in | spricht | sprechen | redet | parle | parlant | habla | fala | falando
    parla | spreekt | talar | taler | snakker | puhuu | mówi | mluví | hovorí | говорит | говорят | говорить
    розмовля | говори | govori | beszél | vorbeşte | vorbește | μιλά | konuşuyor | konuşur | konuşma | יتحدث
    يتحدث | يتكلم | تتحدث | صحبت می | מדבר | बोल रहा | बोलते | พูดภาษา | nói tiếng | berbicara | berbahasa
    bercakap | по- | 說英 | 说英 | 英語で | 语$ | 語$ | 語で | 말로$ | 어로$
    """
)
"""That someone speaks, instead of the words; mostly the name of a language follows."""

MANNER = Stems(
    """
    soft | quiet | loud | slow | fast | quick | low | faint | excited | nervous | angr | whisper | simult
    leise | laut | schnell | langsam | doucement | à voix | tout bas | fort$ | bajo | bajito | alto$ | baix
    piano | sottovoce | zacht | luid | tyst | stille | lavt | cicho | głośno | tiše | tichým | тихо | громко
    быстро | гучно | halk | σιγ | sessiz | alçak | بصوت | בשקט
    """
)
"""How someone speaks: then the words are there."""

TOWARDS = Stems(
    """
    under | over$ | through | into | on$ | to$ | off$ | with
    """
)
"""How or with whom someone speaks, where that is said of speaking."""

SOUNDS = Stems(
    """
    music | applau | clap | laugh | chuckl | giggl | snicker | cheer | cough | sigh | sniff | sob$ | sobs$
    sobbing | gasp | groan | moan | grunt | silence | noise | beep | buzz | knock | whistl | scream | shout
    yell | whisper | thud | crash | slam | door | footstep | bark | breath | exhal | inhal | yawn | snor
    crying | weep | sneez | burp | hiccup | gulp | wind$ | rain$ | thunder | siren | explo | instrumental
    jingle | intro$ | outro$ | typing | alarm | rustl | creak | squeak | splash | babbl | mimic | imitat
    smack | musik | beifall | applaus | gelächter | lacht | lachen | lachend | kichert | seufz | husten
    hustet | räusper | schnief | schluchz | weint | stöhn | schrei | flüster | klopf | klingel | klatsch
    jubel | pfeif | stille | geräusch | tür | atmet | singt | gesang | summt | schnauf | niest | gähn
    muziek | gelach | gejuich | zucht | kuch | hoest | fluister | zingt | stilte | skratt | applåd | suckar
    viskar | sjunger | tystnad | latter | klapp | sukk | hvisk | synger | stilhed | stillhet | musiikki
    naur | aplodi | taput | huokau | ysk | kuiska | laula | hiljaisuus | tónlist | hlátur | lófaklapp
    musique | applaudis | rire | rires | ricane | soupir | tousse | toux | sanglot | pleur | cri$ | cris$
    crie$ | chuchot | chant | chante | bruit | sonnerie | sifflet | siffle | frappe | acclam | música
    musica | aplaus | risa | risas | ríe | ríen | ríe$ | suspir | tose | tos$ | solloz | llora | llanto
    grit | susurr | canta | silencio | ruido | timbre | silba | puerta | palmas | riso | risos | rindo
    gargalh | tosse | soluç | choro | chora | gritos | sussurr | silêncio | ruído | assobi | porta | risate
    ride$ | ridono | sospir | tossisce | singhioz | piange | urla | grida | bisbigl | silenzio | rumore
    rialles | riu$ | muzică | muzica | aplauze | râs | râde | oftea | tuse | plânge | liniște | șopt | muzyk
    oklaski | brawa | śmie | śmiech | wzdych | westchn | kaszl | szloch | płacz | krzyk | krzyczy | szep
    śpiew | cisza | hałas | puka | gwizd | hudba | hraje | potlesk | smích | směje | smiech | smeje | vzdych
    povzdech | kašl | pláč | pláče | křik | šept | zpív | spiev | ticho | hluk | zvon | muzika | glazba
    glasba | pljesak | aplauz | ploskanje | smeh | smijeh | smej | uzdah | uzdiš | kašlj | plač | viče
    šapuć | šepet | pjev | peva | музыка | музык | аплодисмент | смех | смеётся | смеется | смеются | хохот
    вздых | вздох | кашел | кашля | всхлип | плач | плачет | крик | кричит | шеп | поёт | поет | поют
    тишина | шум | стук | свист | звон | музика | музик | оплески | сміх | смі[єе]ться | смієт | смію
    зітха | кашл | плаче | шепоч | співа | тиша | смее | въздиш | ръкопляск | музиканти | muzik | juok
    plojim | mūzik | smiek | smejas | zene | taps | nevet | kacag | sóhaj | köhög | zokog | sír$ | kiabál
    suttog | énekel | csend | zaj | kopog | muusika | naer | ohka | köha | μουσικ | χειροκρ | γέλι | γελά
    αναστεν | βήχ | κλάμ | κλαί | φων | ψιθυρ | τραγουδ | σιωπή | θόρυβ | müzik | alkış | gülü | güler
    kahkaha | iç çek | öksür | hıçkır | ağl | bağır | fısıl | şarkı | sessizlik | gürült | kapı | duartrok
    qesh | موسيق | موسیق | تصفيق | تصفیق | ضحك | يضحك | تضحك | خنده | می‌خند | تنهد | آه می | سعال | سرفه
    بكاء | يبكي | گریه | صراخ | يهمس | نجوا | غناء | أغنية | آواز | صمت | سکوت | ضوضاء | صدای | ترانه | نشيد
    هتاف | قہقہ | ہنس | تالیاں | מוזיק | מוסיק | מחיא | צחוק | צוחק | אנח | נאנח | משתעל | שיעול | בוכ
    צורח | לוחש | שיר$ | שרים | שקט | רעש | संगीत | तालि | हंस | हँस | ठहाक | खांस | आह$ | रोना | रोते
    चिल्ल | फुसफुस | गाना | गीत | मौन | शोर | হাসি | সঙ্গীত | সংগীত | হাততালি | இசை | சிரிப்பு | கைதட்டல்
    เพลง | ดนตรี | เสียง | ปรบมือ | หัวเราะ | ถอนหายใจ | ไอ$ | ร้องไห้ | กระซิบ | ร้องเพลง | เงียบ | âm nhạc
    nhạc | vỗ tay | tiếng | cười | thở dài | ho$ | khóc | hét | thì thầm | hát | im lặng | tepuk | tertawa
    tawa | ketawa | menghela | batuk | menangis | berteriak | berbisik | bernyanyi | lagu | hening | suara
    tugtog | palakpakan | tumatawa | muziki | makofi | kicheko | 音乐 | 音樂 | 乐声 | 樂聲 | 掌声 | 掌聲
    鼓掌 | 笑 | 叹气 | 嘆氣 | 叹息 | 咳 | 哭 | 抽泣 | 尖叫 | 喊叫 | 低语 | 耳语 | 唱 | 歌 | 沉默 | 静音
    噪音 | 声$ | 聲$ | 音$ | 音楽 | 拍手 | ため息 | 泣 | 叫び | ささや | 歓声 | 沈黙 | 無音 | 雑音 | ノック
    曲$ | 음악 | 박수 | 웃음 | 웃는 | 웃으 | 웃$ | 한숨 | 기침 | 울음 | 흐느 | 비명 | 속삭 | 노래 | 침묵
    소리 | 소음 | 환호 | 効果音 | BGM$ | clicks$ | clicking | ringing | rings$ | humming | hums$ | sings$
    singing | cries$ | clears$ | clearing | bells | gunshot | gunfire | drums | drumming | playing | plays$
    plays | bang$ | bangs | pause$ | pauses | pause | song plays | theme music | audience laugh
    crowd cheer | crowd roar | pausa | Pause$
    """
)
"""Sounds and actions that captions describe beside the words."""

THINGS = Stems(
    """
    door | bang | boom | beep | click | knock | buzz | thud | musi | muzi | müzi | музы | музи | μουσ
    موسيق | מוזיק | porta | puerta | tür | deur | dörr | kapı | πόρτα | drzwi | dveř | двер | wind$ | rain$
    thunder | siren | explo | gun | drum | bell | alarm | bruit | ruido | ruído | rumore | noise | hluk
    hałas | шум | zaj$ | gürült | geräusch | silen | stil | csend | cisza | ticho | тишин | sessiz | song
    lied$ | chanson | canc | cant | chant | pěs | piosenk | песн | şarkı | 歌 | 曲 | 声 | 聲 | 音$ | 노래
    소리 | เสียง | เพลง | tiếng | hát | lagu | suara
    """
)
"""Sounds that are things as well, which parentheses among words may speak of."""

FUNCTION_WORDS = Stems(
    """
    is$ | are$ | was$ | were$ | i$ | you$ | we$ | it$ | they$ | my$ | your$ | that$ | this$ | of$ | not$
    maybe$ | or$ | ist$ | sind$ | war$ | ich$ | du$ | wir$ | es$ | nicht$ | oder$ | est$ | je$ | tu$ | ce$
    ou$ | pas$ | son$ | yo$ | no$ | que$ | eu$ | não$ | io$ | non$ | che$ | ik$ | niet$ | jest$ | nie$ | to$
    ja$ | это$ | не$ | я$ | мы$ | или$ | και$ | να$ | bir$ | ve$ | bu$
    """
)
"""Words of a sentence: parentheses that hold one may be spoken, whatever else they hold."""

DISCLAIMERS = Stems(
    """
    auto-generated | automatically generated | generated by | machine-generated | transcript | captions
    subtitles | translator | note: | editor | automatisch | untertitel | anmerkung | généré | sous-titres
    note du | ndt | n.d.t. | generado | subtítulos | nota del | nota: | gerado | legendas | generato
    sottotitoli | nota di | gegenereerd | napisy | przyp. | автоматически | субтитры | прим. | примеч
    автоматично | субтитри | otomatik | altyazı | çevirmen | 自动生成 | 自動生成 | 字幕 | 译注 | 譯註 | 訳注
    자막 | 역주
    """
)
"""What an annotation is about that speaks of the captions themselves."""

SPEAKER_WORDS = _list_words(
    r"""
    speaker | spk | spkr | unknown[ _]speaker | unidentified[ _]speaker | sprecher(?:in)?
    teilnehmer(?:in)? | person | stimme | locuteur | locutrice | intervenante? | oratrice | orateur
    participante? | voix | hablante | ponente | orador[ae]? | interlocutor | locutora? | voz | falante
    participante | parlante | relatore | interlocutore | voce | spreker | deelnemer | talare | taler
    taleren | deltaker | deltager | deltagare | puhuja | osallistuja | kõneleja | runātājs | kalbėtojas
    mówca | mówczyni | prelegent | uczestnik | rozmówca | głos | mluvčí | řečník | účastník | hlas | rečník
    hovoriaci | govornik | govorec | sugovornik | beszélő | felszólaló | résztvevő | vorbitor | participant
    konuşmacı | katılımcı | ομιλητ[ηή]ς | ομιλήτρια | συμμετέχων | спикер | говорящий | диктор | докладчик
    участник | голос | спікер | мовець | доповідач | учасник | говорител | говорник | учесник | (?:ال)?متحدث
    (?:ال)?متكلم | (?:ال)?مشارك | گوینده | سخنران | דובר(?:ת)? | משתתף | वक्ता | स्पीकर | প্রতিভাগী | বক্তা
    பேச்சாளர் | ผู้พูด(?:คนที่)? | วิทยากร | người nói | diễn giả | pembicara | penutur | peserta
    tagapagsalita | msemaji | 说话人 | 說話人 | 讲话人 | 发言人 | 發言人 | 演讲者 | 講者 | 说话者 | 話者
    発言者 | 発話者 | スピーカー | 参加者 | 화자 | 발언자 | 발표자 | 참석자 | 참가자 | 스피커 | voice
    guest | host | interviewer | interviewee | caller | panelist | moderator | ponent | parlant | ahizlaria?
    hizlari | conférencier | studio | narrator | journalist | reporter | anrufer | zuschauer | gast
    entrevistador[ea]? | entrevistad[oa] | vendég | ospite | invité | convidado | invitado | gość | гость
    гість | 嘉宾 | 主持人 | 司会 | 게스트 | 진행자
    """
)
"""What diarisers and transcribers call a voice, before its number: patterns."""

SPEAKER_TURN = Stems(
    """
    speaker turn | speaker_turn | speaker change | speaker_change | change of speaker | new speaker
    next speaker | turn$ | sprecherwechsel | changement de locuteur | cambio de hablante | mudança de orador
    cambio di interlocutore | смена спикера | смена говорящего | zmiana mówcy | 话者切换 | 話者交代
    화자 변경
    """
)
"""That another voice begins."""

INTRODUCTIONS = Stems(
    """
    esercizio | ejercicio | exercice | exercício | übung | упражнение | вправа | ćwiczenie | cvičení
    cvičenie | oefening | övning | oppgave | opgave | harjoitus | alıştırma | άσκηση | 演習 | 练习 | 練習
    연습 | bài tập | latihan | تمرين | תרגיל | अभ्यास | answer | attention | because | caution | example
    finally | first$ | hint$ | however | important | look$ | namely | next$ | no$ | now$ | okay$ | ok$
    please | question | remember | summary | then$ | therefore | third$ | today$ | warning | yes$ | verdict
    spoiler | chapter | lesson | rule$ | part$ | section | point$ | problem | solution | reason | result
    conclusion | fact$ | update | reminder | definition | theorem | proof$ | case$ | cause$ | time of
    title$ | subject | topic$ | day$ | week$ | number | exercise | task$ | goal$ | option | level$ | round$
    episode | unit$ | module | figure | what$ | why$ | how$ | when$ | where$ | who$ | which$ | said$ | ask$
    think$ | imagine | consider | bonus$ | disclaimer | translation | quote$ | breaking | news$ | ps$ | fyi$
    aka$ | motto$ | moral$ | lemma$ | corollary | url$ | email$ | e-mail | website | address | password
    total$ | score$ | date$ | location | source | age$ | achtung | also$ | antwort | beispiel | frage$
    hinweis | grund$ | lösung | ergebnis | fazit$ | regel$ | kapitel | teil$ | schritt | wichtig | erstens
    zweitens | drittens | heute$ | zitat$ | punkt$ | aufgabe | thema$ | ziel$ | übrigens | genauer | ja$
    nein$ | warum$ | wie$ | was$ | wer$ | folge$ | lektion | idee$ | tipp$ | vorsicht | stichwort | sagte$
    dachte | fragte | antwoord | vraag$ | voorbeeld | reden$ | oplossing | conclusie | let op | hoofdstuk
    stap$ | ten eerste | fråga$ | svar$ | exempel | anledning | steg$ | slutsats | obs$ | spørsmål
    spørgsmål | eksempel | grunn$ | årsag$ | husk$ | kysymys | vastaus | esimerkki | syy$ | muista | huom$
    luku$ | sääntö | donc$ | exemple | remarque | réponse | raison | résultat | règle$ | chapitre | étape$
    partie | problème | voilà$ | bref$ | enfin$ | deuxi$ | troisi | nota$ | rappel | écoute | regarde
    pourquoi | comment | morale | bilan$ | titre$ | atención | ejemplo | pregunta | respuesta | razón$
    solución | resultado | conclusión | regla$ | capítulo | paso$ | parte$ | problema | porque | tercer
    recuerd | escuch | importante | motivo | causa$ | es decir | por ejemplo | resumen | consejo | título
    dijo$ | dije$ | pensé$ | atenção | exemplo | pergunta | resposta | razão$ | solução | conclusão | regra$
    passo$ | lembr$ | olha$ | resumo | dica$ | disse$ | pensei | attenzione | esempio | domanda | risposta
    ragione | soluzione | risultato | conclusione | regola | capitolo | perché | ricord | ascolt | titolo
    raó$ | întrebare | răspuns | exemplu | motiv$ | soluți | concluzi | regul$ | capitol | atenție | notă$
    pytanie | odpowied | przykład | powód$ | powod$ | wniosek | rozwiąz | wynik$ | uwaga$ | pamięt
    rozdział | krok$ | zasada | część$ | po pierwsze | zobacz | więc$ | powiedz | otázka | odpově | příklad
    důvod$ | závěr$ | řešení | výsledek | pozor$ | pamat$ | kapitola | pravidlo | část$ | problém | odpoveď
    príklad | dôvod$ | riešenie | pitanje | odgovor | primjer | razlog | zaključ | rješenje | rešenje
    pažnja | pravilo | poglavlje | vprašanje | sklep$ | вопрос | ответ$ | пример | причина | вывод$
    решение | результат | внимание | запомн | помни$ | знай$ | глава$ | шаг$ | правил | часть$ | проблема
    итак$ | итог$ | во-первых | во-вторых | например | потому | скаж$ | сказал | спросил | цитата | тема$
    задача | цель$ | питання | запитання | відповід | приклад | висновок | рішення | увага$ | пам'ят
    памʼят | пам’ят | знайте | правило | розділ | крок$ | отож$ | отже$ | кажі$ | каж$ | дивіт$ | дивис$
    наприклад | сказав | сказала | але$ | въпрос | отговор | извод$ | запомнете | питање | одговор | разлог
    klausim | atsakym | pavyzd | priežast | jautājum | atbilde | piemēr | iemesl | kérdés | válasz | példa$
    megold | eredmény | következtet | figyelem | fejezet | lépés$ | szabály | tehát$ | küsimus | vastus
    näide$ | põhjus | ερώτηση | απάντηση | παράδειγμα | λόγος$ | λύση$ | προσοχή | συμπέρασμα | κεφάλαιο
    βήμα$ | κανόνας | soru$ | cevap$ | yanıt$ | örnek$ | neden$ | sebep$ | çözüm$ | sonuç$ | dikkat | bölüm$
    adım$ | kural$ | unutma | bak$ | dedi$ | sordu$ | özet$ | not$ | pyetje | përgjigje | câu hỏi | trả lời
    ví dụ | lý do | kết luận | giải pháp | chú ý | lưu ý | chương | bước$ | quy tắc | nói$ | hỏi$
    pertanyaan | soalan | jawab$ | contoh | alasan | sebab$ | solusi | kesimpulan | perhatian | ingat$
    bab$ | langkah | aturan | kata$ | tanya$ | catatan | swali$ | jibu$ | mfano$ | قال | قلت | يقول | تقول
    قالوا | سأل | سئل | أجاب | رد$ | صاح | همس | فكر | السؤال | سؤال | الجواب | جواب | مثال | السبب | سبب
    الحل | النتيجة | ملاحظة | تنبيه | انتبه | تذكر | الفصل | الخطوة | القاعدة | أولا | ثانيا | ثالثا | أخيرا
    الخلاصة | يعني | لكن | هو$ | هي$ | أنا$ | گفت | پرسید | پاسخ | پرسش | دلیل | نتیجه | نکته | توجه | مثلا
    یعنی | فصل | گام | کہا | پوچھا | אמר | אומר | שאל | ענה | ענית | עניתי | חשב | צעק | לחש | השאלה | שאלה
    תשובה | התשובה | דוגמה | הסיבה | הפתרון | התוצאה | המסקנה | שימו לב | זכרו | תזכרו | פרק | צעד | כלל
    ראשית | שנית | הוא | היא | אני | כלומר | कहा | कहता | कहते | बोला | बोली | पूछा | जवाब | उत्तर | प्रश्न
    सवाल | उदाहरण | कारण | समाधान | परिणाम | निष्कर्ष | ध्यान | याद | अध्याय | नियम | मैं | वह | বলল | বলেন
    প্রশ্ন | উত্তর | উদাহরণ | কারণ | மேற்கோள் | கேள்வி | பதில் | พูดว่า | บอกว่า | ถามว่า | ตอบว่า | คำถาม
    คำตอบ | ตัวอย่าง | เหตุผล | สาเหตุ | ข้อสรุป | หมายเหตุ | ข้อควร | บทที่ | ขั้นตอน | กฎ | เขา | ฉัน
    คือ | 说 | 說 | 问 | 問 | 答 | 道$ | 讲 | 講 | 喊 | 叫 | 告诉 | 告訴 | 回复 | 表示 | 认为 | 認為 | 想
    写 | 寫 | 我 | 你 | 他 | 她 | 它 | 咱 | 这 | 這 | 那 | 原因 | 理由 | 答案 | 例如 | 比如 | 例子 | 举例
    注意 | 结论 | 結論 | 结果 | 結果 | 解决 | 方法 | 第 | 规则 | 規則 | 总之 | 總之 | 首先 | 其次 | 最后
    最後 | 也就是 | 就是 | 提示 | 备注 | 標題 | 标题 | 目标 | 重点 | 重點 | 记住 | 記住 | 言 | 聞 | 曰 | 思
    考え | 質問 | 例え | 例 | 注$ | 課題 | ポイント | ルール | つまり | まず | 次に | 私 | 僕 | 俺 | 彼
    これ | それ | は$ | が$ | を$ | に$ | で$ | と$ | から$ | です$ | ます$ | た$ | 말했 | 말하 | 말해
    말씀 | 물었 | 물어 | 묻 | 대답 | 답변 | 답$ | 외쳤 | 생각 | 이유 | 질문 | 예$ | 예를 | 문제 | 결론
    결과 | 참고 | 주의 | 해결 | 방법 | 규칙 | 첫째 | 둘째 | 셋째 | 먼저 | 마지막 | 그가 | 그는 | 그녀 | 제가
    저는 | 나는 | 내가 | 우리 | 이것 | 요$ | 죠$ | 다$ | 까$ | 는$ | 이란$ | say$ | says$ | asked$ | step$
    steps$ | note$ | notes$ | tip$ | tips$ | rules$ | hints$ | listen$ | merke$ | merkt$ | guarda$
    guardate$ | ascolta$ | primero$ | primera$ | primo$ | prima$ | seconda$ | secondo$ | segundo$ | terzo$
    terza$ | premièrement | deuxièmement | troisièmement | mira$ | miren$ | слушай$ | слушайте$ | слухай$
    слухайте$ | place$ | price$ | meine$ | meiner$ | unsere$ | seconds$ | second$ | posłuchaj | słuchajcie
    смотри$ | смотрите$ | słuchaj$
    """
)
"""What is said before a colon: reported speech, titles, words that lead to the rest of a sentence."""

ARTICLES = Stems(
    """
    the$ | a$ | an$ | this$ | that$ | these$ | those$ | my$ | our$ | your$ | his$ | her$ | its$ | their$
    he$ | she$ | it$ | we$ | they$ | i$ | you$ | der$ | die$ | das$ | den$ | dem$ | ein$ | eine$ | er$
    sie$ | ich$ | wir$ | und$ | oder$ | aber$ | denn$ | mein$ | dein$ | sein$ | ihr$ | unser$ | de$ | het$
    een$ | mijn$ | le$ | la$ | les$ | un$ | une$ | mon$ | ma$ | mes$ | son$ | sa$ | notre$ | votre$ | je$
    il$ | elle$ | nous$ | vous$ | on$ | et$ | ou$ | el$ | los$ | las$ | lo$ | mi$ | tu$ | su$ | yo$ | ella$
    o$ | os$ | as$ | um$ | uma$ | meu$ | minha$ | eu$ | ele$ | ela$ | gli$ | mio$ | mia$ | io$ | lui$ | lei$
    un'$ | az$ | egy$ | ο$ | η$ | το$ | ένα$ | moja$ | mój$ | мой$ | моя$ | я$ | он$ | она$ | мы$ | мій$
    but$ | so$ | mais$ | car$ | pero$ | mas$ | ale$ | bo$ | но$
    """
)
"""Beginnings of phrases that are seldom the name of a speaker."""

CREDIT_PHRASES = Stems(
    """
    subtitles by | subtitled by | subtitles created | subtitles provided | subtitles downloaded
    subtitle by | subtitling by | subs by | captions by | captioned by | captioning by | closed captioning
    closed captions by | captioning sponsored | captioning made possible | captioning provided
    captions provided | transcribed by | transcript by | transcription by | translated by | translation by
    translated and | synced by | synced and | synced & | synced, | sync by | sync & | sync and
    synchronized by | synchronised by | resync by | re-synced | corrected by | corrections by
    correction by | encoded by
    ripped by | ocr by | timing by | timed by | proofread by | qc by | downloaded from
    advertise your product | support us and become | please rate this subtitle | want subtitles for
    untertitel von | untertitel der | untertitel im auftrag | untertitel © | untertitel erstellt
    untertitelt von | deutsche untertitel | übersetzung von | übersetzt von | im auftrag des zdf
    ondertiteld | vertaling door | vertaald door | textad av | översättning av | översatt av | tekstet av
    tekster av | danske tekster | norske tekster | oversat af | oversatt av | suomentanut | tekstittänyt
    íslenskur texti | sous-titré | traduction par | traduit par | subtitulado | traducción de
    traducido por | traducida por | sincronizado por | corregido por | legendado | legenda por | tradução e
    tradução por | traduzido por | ressinc | sottotitolato | sottotitolazione | traduzione di | traduzione e
    tradotto da | tradus de | napisy w | napisy od | napisy by | napisy przygotował | napisy stworzone
    napisy dla | tłumaczył | tekst polski | překlad a | přeložil | preložil | české titulky | časování
    prevedao | preveo | перевод и | перевод субтитров | перевёл | перевел | переведено | редактор субтитров
    озвучено | переклав | переклала | превод и | преведе | išvertė | tulkoja | feliratot | magyar felirat
    fordította | időzítés | tõlkinud | alt yazı | përktheu | تعديل التوقيت | تمت الترجمة | کاری از | תורגם
    סונכרן | ซับไทย | แปลโดย | บรรยายไทย | dịch bởi | người dịch | biên dịch | diterjemahkan | alih bahasa
    subtitle oleh | sari kata | edited subtitles by
    """
)
"""How a line begins that says who made the captions."""

CREDIT_NOUNS = Stems(
    """
    subtitling | subtitles | translation | translator | ocr | reviewer | proofreading | untertitel
    untertitelung | übersetzung | synchronisation | ondertiteling | ondertitels | vertaling | undertexter
    textning | översättning | svensktextning | undertekster | tekstning | oversettelse | oversættelse
    suomennos | tekstitys | käännös | þýðing | sous-titres | sous-titrage | traduction | synchro | relecture
    transcription | adaptation | subtítulos | subtitulación | subtitulos | traducción | sincronización
    transcripción | legendas | legenda | legendagem | tradução | sincronia | revisão | sottotitoli
    traduzione | revisione | sincronizzazione | subtítols | traducció | subtitrare | subtitrarea
    subtitrări | traducerea | traducere | sincronizare | adaptarea | napisy | tłumaczenie | przekład
    opracowanie | korekta | synchronizacja | titulky | překlad | preklad | korekce | prevod | prijevod
    obrada | titlovi | titlove | titl | podnapisi | podnaslovi | sinhronizacija | субтитры | перевод
    корректор | синхронизация | субтитри | субтитрування | переклад | превод | titrai | vertimas | subtitri
    tulkojums | felirat | fordítás | subtiitrid | tõlge | υπότιτλοι | υποτιτλισμός | απόδοση | μετάφραση
    επιμέλεια | altyazı | çeviri | çeviren | çevirmen | senkron | titra | përkthimi | ترجمة | الترجمة
    زیرنویس | مترجم | ترجمه | هماهنگ | כתוביות | תרגום | סנכרון | उपशीर्षक | अनुवाद | अनुवादक | উপশিরোনাম
    অনুবাদ | คำบรรยาย | dịch | terjemahan | penerjemah | manukuu | 字幕 | 翻译 | 翻譯 | 译者 | 譯者 | 校对
    校對 | 时间轴 | 時間軸 | 听译 | 聽譯 | 压制 | 壓制 | 翻訳 | 訳 | 자막 | 번역 | 번역자 | 싱크 | 番组
    captions | captioning | phụ đề | 자막 제작 | undertextning
    """
)
"""The same where a colon or a name must follow: by themselves these are words like others."""

CONJUNCTIONS = _list_words(
    """
    und | oder | bzw | bis | sowie | and | or | to | nor | en | of | tot | och | eller | og | et | ou | à
    e | o | y | u | i | a | ili | ali | lub | albo | oraz | či | alebo | nebo | и | или | та | або | і | й
    και | ή | ve | veya | és | vagy | ja | tai | või | un | vai | ir | ar
    """
)
"""What follows a hyphen that stands for the rest of a word: `Vor- und Nachteile`."""

COMPOUND_HEADS = _list_words(
    """
    all | anti | cross | eight | ex | extra | fifty | five | forty | four | full | half | high | ill | inter
    long | low | mid | multi | near | never | nine | ninety | non | old | one | part | post | pre | quasi
    self | semi | seven | seventy | short | single | six | sixty | super | ten | thirty | three | twenty
    two | ultra | under | well | eighty | arrière | avant | c'est-à | contre | demi | grand | grand-père
    là | nouveau | outre | petit | peut | porte | quatre | rendez | soixante | sous | trente | vingt | vis
    по | кое | кто | что | как | где | когда | чей | какой | пол | bien | mal
    """
)
"""What a hyphen follows by the rules of spelling: `well-known`, `grand-mère`, `кто-то`."""

COMPOUND_TAILS = _list_words(
    """
    je | tu | il | elle | on | nous | vous | ils | elles | ce | ci | là | moi | toi | lui | leur | le | la
    les | même | mêmes | être | то | нибудь | либо | таки | ка
    """
)
"""What follows a hyphen by the rules of spelling: `dit-il`, `что-то`."""
