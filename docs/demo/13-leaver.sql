SELECT hub.deactivate_member(member_id) FROM hub.member WHERE external_id = 'sam';
