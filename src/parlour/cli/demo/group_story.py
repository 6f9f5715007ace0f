"""The story of a group, with a check wherever it claims something."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from parlour.cli.demo.cast import SERVER_NAME, Cast
from parlour.cli.demo.processes import Process, failed
from parlour.cli.demo.stage import Stage
from parlour.cli.demo.stored import stored_message

NAME: Final = "Sunday hike"
NEW_NAME: Final = "Lake at dawn"
_PEOPLE: Final = 5
# Of the four who found the group, and of those who are in it at the end.
_DEVICES: Final = 6
_NOT_FOR_EVE: Final = "The key to the hut is under the third stone."
# Two who change something at the same moment nearly always meet; if not, they do it again.
_TRIES: Final = 10


class GroupStory:
    """What happens to the `cast`, as `stage` shows it."""

    def __init__(self, cast: Cast, stage: Stage) -> None:
        self._cast = cast
        self._stage = stage
        self._chats: dict[str, Process] = {}
        self._said: list[str] = []

    async def tell(self) -> None:
        """All of it."""
        await self._cast.start_server()
        await self.gather_people()
        await self.found()
        await self.talk()
        await self.switch_off()
        await self.add()
        await self.race()
        await self.remove()
        await self.come_back()
        await self.compare()
        self.look_for_plaintext()

    # --- Steps ---------------------------------------------------------------------------

    async def gather_people(self) -> None:
        """Five accounts, two of which have a second device."""
        people = ("ada", "ben", "cleo", "dan", "eve")
        self._stage.step("Five people register; Ada links her phone, Ben a tablet")
        await self._cast.register(*people)
        await asyncio.gather(self._cast.link("ada", "ada-phone"), self._cast.link("ben", "ben-pad"))
        await asyncio.gather(*(self._cast.look_in(each) for each in ("ada-phone", "ben-pad")))
        self._stage.check(f"Five accounts at {SERVER_NAME}, seven devices, each with its own keys.")

    async def found(self) -> None:
        """Ada founds a group with three others; those who do not know her have to say yes."""
        self._stage.step("Ada founds a group with Ben, Cleo and Dan")
        creating = await self._cast.client("ada", "group", "create", NAME, "ben", "cleo", "dan")
        made = await creating.expect(name=NAME)
        await creating.finish()
        self._expect(made["devices"] == _DEVICES, f"{made['devices']} devices instead of six")
        self._stage.check(f"Six devices of four people share it, encrypted by {made['suite']}.")
        devices = ("ada", "ada-phone", "ben", "ben-pad", "cleo", "dan")
        await self._open(NAME, *devices)
        self._stage.tell("They open it, each on a device of their own, and so say yes to it.")
        self._cast.secrets.append(NAME)

    async def _open(self, name: str, *devices: str) -> None:
        chats = await asyncio.gather(*(self._cast.chat(each, f"#{name}") for each in devices))
        self._chats.update(zip(devices, chats, strict=True))

    async def talk(self) -> None:
        """One message, read on five other devices."""
        self._stage.step("Ada writes once, and every device reads it")
        await self._say("ada", "Who comes to the lake on Sunday?")
        await self._say("ben-pad", "I do, and I bring soup.")
        self._stage.check("One ciphertext each, however many read it.")

    async def switch_off(self) -> None:
        """Dan goes offline."""
        self._stage.step("Dan's device is off; the others go on without him")
        await self._chats.pop("dan").finish()
        await self._say("cleo", "Dan is asleep, I think.")

    async def add(self) -> None:
        """Eve comes, and reads from then on."""
        self._stage.step("Ada adds Eve, who reads from now on")
        done = await self._do("ada", "/add eve")
        self._expect(len(done["members"]) == _PEOPLE, "not five people")
        await self._open(NAME, "eve")
        await self._say("ben", "Welcome, Eve!")
        earlier = await self._history("eve", NAME)
        self._expect(earlier == ["Welcome, Eve!"], f"Eve reads {earlier}")
        self._stage.check("Eve reads the welcome, and nothing that was said before she came.")

    async def race(self) -> None:
        """Two change the group in the same moment; both changes come true."""
        self._stage.step("Ada and Ben change the group in the same moment")
        await self._do("ada", "/role ben admin")
        for lap in range(_TRIES):
            name = NEW_NAME if lap % 2 == 0 else NAME
            role = "moderator" if lap % 2 == 0 else "member"
            done = await asyncio.gather(
                self._do("ada", f"/rename {name}"), self._do("ben", f"/role cleo {role}")
            )
            lost = sum(each["races_lost"] for each in done)
            if lost and name == NEW_NAME:
                break
        else:
            raise failed("nobody lost a race")
        self._cast.secrets.append(NEW_NAME)
        self._stage.tell(f"Ada names it “{NEW_NAME}”, Ben makes Cleo a moderator.")
        self._stage.check(
            "Both built on the same state of the group. The server took one, and the other was "
            "made anew on top of it by itself: nobody saw an error."
        )

    async def remove(self) -> None:
        """Eve is put out, and reads nothing more."""
        self._stage.step("Ben puts Eve out")
        await self._do("ben", "/remove eve")
        eve = self._chats.pop("eve")
        told = await eve.expect(code="group.left")
        self._stage.read("eve", f"(is told that {told['by_name']} put her out)")
        await self._say("ada", _NOT_FOR_EVE)
        await eve.tell("Can you hear me?")
        await eve.finish()
        read = await self._history("eve", NEW_NAME)
        self._expect(_NOT_FOR_EVE not in read, "Eve reads on")
        self._expect("Can you hear me?" not in read, "Eve speaks on")
        self._stage.check(
            "Eve's device is out of the group's keys: it reads nothing that is said from now on, "
            "and can't say anything."
        )

    async def come_back(self) -> None:
        """Dan reads all that he missed, through every change of keys."""
        self._stage.step("Dan's device is on again")
        missed = self._said[2:]
        dan = await self._cast.client("dan", "inbox")
        for text in missed:
            said = await dan.expect(code="message.received")
            self._expect(said["text"] == text, f"Dan reads {said['text']!r} for {text!r}")
        await dan.finish()
        self._stage.read("dan", f"{len(missed)} messages, in order, under the new name")
        await self._open(NEW_NAME, "dan")
        await self._say("dan", "Good morning. What hut?")
        self._stage.check(
            "He followed an addition, two changes at once and a removal, one epoch at a time."
        )

    async def compare(self) -> None:
        """All devices are in the same epoch, and name the same people."""
        self._stage.step("All six devices compare where they stand")
        stands = await asyncio.gather(*(self._do(each, "/members") for each in self._chats))
        places = {
            (each["generation"], each["epoch"], tuple(m["name"] for m in each["members"]))
            for each in stands
        }
        self._expect(len(stands) == _DEVICES and len(places) == 1, f"they stand at {places}")
        ((_, epoch, names),) = places
        for each in self._chats.values():
            await each.finish()
        self._stage.check(f"All are in epoch {epoch}, with {', '.join(names)}.")

    def look_for_plaintext(self) -> None:
        """Neither texts nor names of the group stand in any file of the server."""
        self._stage.step("We search the server's disk")
        self._cast.look_for_plaintext()
        self._stage.check(
            f"None of the {len(self._said)} messages and neither name of the group is in its "
            "files. Who is in the group, and in which role, it does know: docs/metadata.md"
        )

    # --- Acts ----------------------------------------------------------------------------

    async def _say(self, author: str, text: str) -> None:
        """Say something, and wait until each other device that is on has read it."""
        self._said.append(text)
        self._cast.secrets.append(text)
        await self._chats[author].tell(text)
        sent = await self._chats[author].expect(code="message.sent", text=text)
        stored = stored_message(self._cast.data, str(sent["id"]))
        self._expect(bool(stored.body) and text.encode() not in stored.body, "no ciphertext")
        readers = [name for name in self._chats if name != author]
        await asyncio.gather(*(self._chats[each].expect(text=text) for each in readers))
        self._stage.group_message(author, readers, text, stored)

    async def _do(self, device: str, line: str) -> dict[str, Any]:
        """A command within the chat; what became of it."""
        await self._chats[device].tell(line)
        done = await self._chats[device].expect(command=line.split(maxsplit=1)[0].removeprefix("/"))
        self._expect(done["code"] == "group.done", f"{device}: {line}: {done.get('reason')}")
        return done

    async def _history(self, device: str, name: str) -> list[str]:
        """What a device has of a group."""
        reading = self._chats.get(device)
        if reading is not None:
            # Two programs can't have one home open.
            await self._chats.pop(device).finish()
        telling = await self._cast.client(device, "history", f"#{name}")
        found = [said["text"] async for said in telling.all()]
        if reading is not None:
            await self._open(name, device)
        return found

    def _expect(self, so: bool, otherwise: str) -> None:
        if not so:
            raise failed(otherwise)
